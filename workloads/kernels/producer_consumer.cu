// producer_consumer: the last block writes a message and then a flag; all others wait for the flag and copy the message.
// The blocks that wait come first in dispatch order, so nothing here ends if blocks execute one after the other: the
// kernel needs values at issue (--coupled), and room for a waiting block beside the producer.
//
// Launch:     one-dimensional, at least two blocks, any block size.
// Arguments:  0  n        int
//             1  x        const float[n]
//             2  message  float[n], scratch
//             3  flag     int[1], zero before the launch
//             4  out      float[(blocks - 1) * n]: out[b * n + i] = 2 * x[i] + 1 + b

extern "C" __global__ void producer_consumer(int n, const float *x, float *message, int *flag, float *out)
{
    volatile int *ready = flag;
    if (blockIdx.x == gridDim.x - 1) {
        for (int i = threadIdx.x; i < n; i += blockDim.x)
            message[i] = 2.0f * x[i] + 1.0f;
        __threadfence();
        __syncthreads();
        if (threadIdx.x == 0)
            *ready = 1;
    } else {
        if (threadIdx.x == 0)
            while (*ready == 0)
                ;
        __syncthreads();
        __threadfence();
        const volatile float *received = message;
        for (int i = threadIdx.x; i < n; i += blockDim.x)
            out[blockIdx.x * n + i] = received[i] + blockIdx.x;
    }
}
