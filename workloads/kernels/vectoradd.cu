// vectoradd: c[i] = a[i] + b[i] for i < n. One thread an element, no reuse: the plainest memory-bound kernel.
//
// Launch:     one-dimensional, any block size; grid.x = ceil(n / block.x).
// Arguments:  0  a  const float[n]
//             1  b  const float[n]
//             2  c  float[n], output
//             3  n  int

extern "C" __global__ void vectoradd(const float *__restrict__ a, const float *__restrict__ b, float *__restrict__ c,
                                     int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        c[i] = a[i] + b[i];
}
