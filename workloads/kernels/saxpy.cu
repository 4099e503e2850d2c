// saxpy: y[i] = alpha * x[i] + y[i] for i < n, one fused multiply-add an element.
// A grid-stride loop, so that any grid covers any n; warps leave the loop at different trips.
//
// Launch:     one-dimensional, any block size, any grid size.
// Arguments:  0  n      int
//             1  alpha  float
//             2  x      const float[n]
//             3  y      float[n], input and output

extern "C" __global__ void saxpy(int n, float alpha, const float *__restrict__ x, float *__restrict__ y)
{
    int stride = gridDim.x * blockDim.x;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride)
        y[i] = alpha * x[i] + y[i];
}
