// modulate: a *= b / n, element by element.
//
// Launch:     one-dimensional, any grid and block size.
// Arguments:  0  a  float[n], input and output
//             1  b  const float[n]
//             2  n  int

extern "C" __global__ void modulate(float *a, const float *b, int n)
{
    float factor = 1.0f / n;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x)
        a[i] *= factor * b[i];
}
