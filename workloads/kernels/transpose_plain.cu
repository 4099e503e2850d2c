// transpose_plain: out[column][row] = in[row][column] through a 32 x 32 tile in shared memory, so that both the reads and
// the writes of global memory are coalesced.
// The tile's columns lie in one bank each, so that the column reads conflict 32 ways: see transpose_padded.
//
// Launch:     block = (32, 8); grid = (ceil(columns / 32), ceil(rows / 32)).
// Arguments:  0  in       const float[rows * columns]
//             1  out      float[columns * rows], output
//             2  rows     int
//             3  columns  int

constexpr int TILE = 32;
constexpr int ROWS_A_PASS = 8;

extern "C" __global__ void transpose_plain(const float *__restrict__ in, float *__restrict__ out, int rows, int columns)
{
    __shared__ float tile[TILE][TILE];

    int column = blockIdx.x * TILE + threadIdx.x;
    int row = blockIdx.y * TILE + threadIdx.y;
    for (int i = 0; i < TILE; i += ROWS_A_PASS)
        if (column < columns && row + i < rows)
            tile[threadIdx.y + i][threadIdx.x] = in[(row + i) * columns + column];

    __syncthreads();

    column = blockIdx.y * TILE + threadIdx.x; // of the result
    row = blockIdx.x * TILE + threadIdx.y;
    for (int i = 0; i < TILE; i += ROWS_A_PASS)
        if (column < rows && row + i < columns)
            out[(row + i) * rows + column] = tile[threadIdx.x][threadIdx.y + i];
}
