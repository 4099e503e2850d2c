// conv3d_slice: a slice of a convolution in three dimensions with eleven of the 27 neighbours, as PolyBench has it, a thread an
// element. Slice 0, slice n - 1 and the border of each slice stay as they are.
//
// Launch:     two-dimensional, any block size; grid = (ceil(n / block.x), ceil(n / block.y)).
// Arguments:  0  A  const float[n * n * n]
//             1  B  float[n * n * n], output
//             2  n  int
//             3  i  int, from 1 to n - 2

extern "C" __global__ void conv3d_slice(const float *A, float *B, int n, int i)
{
    int k = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y * blockDim.y + threadIdx.y;
    if (j < n - 1 && k < n - 1 && j > 0 && k > 0) {
        const float *at = A + (i * n + j) * n + k;
        int row = n, slice = n * n;
        B[(i * n + j) * n + k] = 2.0f * at[-slice - row - 1] + 4.0f * at[slice - row - 1] + 5.0f * at[-slice - row - 1]
                               + 7.0f * at[slice - row - 1] - 8.0f * at[-slice - row - 1] + 10.0f * at[slice - row - 1]
                               - 3.0f * at[-row] + 6.0f * at[0] - 9.0f * at[row] + 2.0f * at[-slice - row + 1]
                               + 4.0f * at[slice - row + 1] + 5.0f * at[-slice + 1] + 7.0f * at[slice + 1]
                               - 8.0f * at[-slice + row + 1] + 10.0f * at[slice + row + 1];
    }
}
