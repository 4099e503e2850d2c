// spill: out[i] = p + q - r of the 32 elements w from 32 * i on: p the sum of each times the one behind it in the ring, q of
// the even pairs, r of the odd ones, so that it is 2 q. Compiled for 24 registers, so that most of the window lives in local memory, in words and vectors.
//
// Launch:     one-dimensional; a thread for every output.
// Arguments:  0  in   const int[32 * n]
//             1  out  int[n]
//             2  n    int

extern "C" __global__ void __maxnreg__(24) spill(const int4 *__restrict__ in, int *out, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    int window[32];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        int4 four = in[8 * i + j];
        window[4 * j] = four.x;
        window[4 * j + 1] = four.y;
        window[4 * j + 2] = four.z;
        window[4 * j + 3] = four.w;
    }
    int even = 0, odd = 0;
#pragma unroll
    for (int j = 0; j < 32; j += 2) {
        even += window[j] * window[j + 1];
        odd += window[j + 1] * window[(j + 2) % 32];
    }
    int sum = 0;
    for (int j = 0; j < 32; ++j)
        sum += window[(j + i) % 32] * window[(j + i + 1) % 32];
    out[i] = sum + even - odd;
}
