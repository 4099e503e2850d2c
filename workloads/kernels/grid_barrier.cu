// grid_barrier: rounds of out[i] = in[n - 1 - i] + 1, in which every block reads what another one wrote in the round before.
// Between rounds all blocks meet: one thread of each adds to a counter and spins until all have. Needs values at issue
// (--coupled), and all blocks resident at a time.
//
// Launch:     one-dimensional, blocks * threads = n.
// Arguments:  0  n        int
//             1  rounds   int
//             2  a        float[n], input; holds the result after an even number of rounds
//             3  b        float[n], scratch; holds the result after an odd number of rounds
//             4  arrived  unsigned[1], zero before the launch

extern "C" __global__ void grid_barrier(int n, int rounds, float *a, float *b, unsigned *arrived)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    for (int round = 1; round <= rounds; ++round) {
        *(volatile float *)&b[i] = *(volatile float *)&a[n - 1 - i] + 1.0f;
        __threadfence();
        __syncthreads();
        if (threadIdx.x == 0) {
            atomicAdd(arrived, 1);
            while (*(volatile unsigned *)arrived < round * gridDim.x)
                ;
            __threadfence();
        }
        __syncthreads();
        float *last = a;
        a = b;
        b = last;
    }
}
