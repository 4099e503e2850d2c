// empty: does nothing. What is left is the launch: its overhead, the way of a block to an SM and back.
//
// Launch:     any.
// Arguments:  none

extern "C" __global__ void empty() {}
