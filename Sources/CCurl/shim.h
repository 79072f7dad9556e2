#pragma once
#include <curl/curl.h>

// curl_easy_setopt and curl_easy_getinfo are variadic, which Swift cannot call: one plain function for each argument type.
static inline CURLcode tocsin_curl_set_long(CURL *h, CURLoption o, long v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode tocsin_curl_set_string(CURL *h, CURLoption o, const char *v) { return curl_easy_setopt(h, o, v); }
static inline CURLcode tocsin_curl_set_pointer(CURL *h, CURLoption o, void *v) { return curl_easy_setopt(h, o, v); }
typedef size_t (*tocsin_curl_write)(char *data, size_t size, size_t count, void *context);
static inline CURLcode tocsin_curl_set_write(CURL *h, tocsin_curl_write f) { return curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, f); }
typedef int (*tocsin_curl_progress)(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d);
static inline CURLcode tocsin_curl_set_progress(CURL *h, tocsin_curl_progress f) { return curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, f); }
static inline CURLcode tocsin_curl_get_long(CURL *h, CURLINFO i, long *v) { return curl_easy_getinfo(h, i, v); }
static inline CURLcode tocsin_curl_get_double(CURL *h, CURLINFO i, double *v) { return curl_easy_getinfo(h, i, v); }
static inline CURLcode tocsin_curl_global_init(void) { return curl_global_init(CURL_GLOBAL_ALL); }
// The certificates that the server showed, its own first: lists of "Name:value".
static inline CURLcode tocsin_curl_get_certificates(CURL *h, struct curl_certinfo **v) { return curl_easy_getinfo(h, CURLINFO_CERTINFO, v); }
