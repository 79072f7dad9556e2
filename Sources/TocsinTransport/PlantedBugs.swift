// Everything that is shipped links this module; the simulator, for which bugs are planted, does not.
#if TOCSIN_PLANTED_BUGS
    #error("TOCSIN_PLANTED_BUGS is for tools/sim only: nothing that is shipped may be built with it")
#endif
