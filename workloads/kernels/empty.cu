// empty: does nothing. What is left is the launch: its overhead, the way of a block to an SM and back.
//
// Architectures: sm_90
// Launch:     any.
// Arguments:  none

extern "C" __global__ void empty() {}
