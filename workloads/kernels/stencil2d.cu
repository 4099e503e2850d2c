// stencil2d: one step of a 5-point stencil, out = centre * in + neighbour * (north + south + west + east).
// Points on the rim of the grid are copied. One thread a point, operands from global memory through the L1 cache.
//
// Launch:     two-dimensional, any block shape; grid = (ceil(width / block.x), ceil(height / block.y)).
// Arguments:  0  in         const float[height * width]
//             1  out        float[height * width], output
//             2  width      int
//             3  height     int
//             4  centre     float
//             5  neighbour  float

extern "C" __global__ void stencil2d(const float *__restrict__ in, float *__restrict__ out, int width, int height,
                                     float centre, float neighbour)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height)
        return;

    int i = y * width + x;
    float value = in[i];
    if (x > 0 && x < width - 1 && y > 0 && y < height - 1) {
        float around = in[i - width] + in[i + width] + in[i - 1] + in[i + 1];
        value = centre * value + neighbour * around;
    }
    out[i] = value;
}
