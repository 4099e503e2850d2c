// gemm_wgmma: C = A * B, A and C row by row, B column by column (a column's elements side by side), half-precision factors,
// single-precision sums. Any m, even n, k a multiple of 8.
//
// Architectures: sm_90a
//
// A block computes a 128 x 128 tile of C in steps of 64 along k, with three warpgroups: the first brings tiles of A and B by
// tensor copies (TMA) into three buffers in turn, the other two multiply 64 rows each (wgmma). Two mbarriers a buffer hand it
// over: `full` counts the bytes that have come, `empty` the warpgroups that are done with it. Tiles are swizzled by 128
// bytes; what lies outside the matrices comes as zeros.
//
// Launch:     block = 384; grid = (ceil(n / 128), ceil(m / 128)); dynamic_shared_bytes = 99328: three buffers of 32 KiB and
//             1024 bytes for their alignment. The tensor maps have boxes of 64 x 128 elements, swizzled by 128 bytes.
// Arguments:  0  m  int, rows of A and C
//             1  n  int, columns of B and C
//             2  k  int, columns of A and rows of B
//             3  a  tensor map of half, k x m
//             4  b  tensor map of half, k x n
//             5  c  float[m * n], output

#include <cstdint>

constexpr int TILE = 128; // rows and columns of C a block
constexpr int STEP = 64;  // along k
constexpr int BUFFERS = 3;
constexpr int WARPGROUP = 128;
constexpr int TILE_BYTES = TILE * STEP * 2;
constexpr int ACCUMULATORS = 64; // a thread of a multiplying warpgroup: 64 x 128 of C among 128 threads

struct alignas(64) TensorMap {
    uint64_t opaque[16];
};

__device__ __forceinline__ uint32_t shared_address(const void *pointer)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

__device__ __forceinline__ void init(uint64_t *barrier, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals));
}

__device__ __forceinline__ void expect_bytes(uint64_t *barrier, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
}

__device__ __forceinline__ void arrive(uint64_t *barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

__device__ __forceinline__ void wait(uint64_t *barrier, int parity)
{
    asm volatile("{\n"
                 ".reg .pred over;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
                 "@!over bra again;\n"
                 "}" ::"r"(shared_address(barrier)),
                 "r"(parity)
                 : "memory");
}

__device__ __forceinline__ void load_tile(uint8_t *to, const TensorMap *map, uint64_t *barrier, int k, int row)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], "
                 "[%2];" ::"r"(shared_address(to)),
                 "l"(map), "r"(shared_address(barrier)), "r"(k), "r"(row)
                 : "memory");
}

// A tile whose rows of 128 bytes run along k, swizzled by 128 bytes: eight rows every 1024 bytes.
__device__ __forceinline__ uint64_t descriptor(const uint8_t *tile)
{
    return (shared_address(tile) & 0x3ffff) >> 4 | uint64_t(1024 >> 4) << 32 | uint64_t(1) << 62;
}

// d += 64 x 16 of A times 16 x 128 of B.
__device__ __forceinline__ void multiply(float (&d)[ACCUMULATORS], uint64_t a, uint64_t b)
{
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63 "
        "}, %64, %65, 1, 1, 1, 0, 0;"
        :
          "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]),
          "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]),
          "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]),
          "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]),
          "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]),
          "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]),
          "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), "+f"(d[56]),
          "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
        : "l"(a), "l"(b));
}

extern "C" __global__ void __launch_bounds__(3 * WARPGROUP)
    gemm_wgmma(int m, int n, int k, const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,
               float *__restrict__ c)
{
    extern __shared__ __align__(1024) uint8_t tiles[]; // BUFFERS of A, then BUFFERS of B
    __shared__ uint64_t full[BUFFERS], empty[BUFFERS];
    uint8_t *a_tiles = tiles, *b_tiles = tiles + BUFFERS * TILE_BYTES;

    if (threadIdx.x == 0) {
        for (int i = 0; i < BUFFERS; ++i) {
            init(&full[i], 1);
            init(&empty[i], 2);
        }
        asm volatile("fence.mbarrier_init.release.cluster;");
        asm volatile("fence.proxy.async.shared::cta;");
    }
    __syncthreads();

    const int steps = (k + STEP - 1) / STEP;
    const int warpgroup = threadIdx.x / WARPGROUP;
    if (warpgroup == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x == 0) {
            for (int step = 0, buffer = 0, round = 0; step < steps; ++step) {
                // The first round finds the buffers empty: the phase before the first counts as over.
                wait(&empty[buffer], (round & 1) ^ 1);
                expect_bytes(&full[buffer], 2 * TILE_BYTES);
                load_tile(a_tiles + buffer * TILE_BYTES, &a, &full[buffer], step * STEP, blockIdx.y * TILE);
                load_tile(b_tiles + buffer * TILE_BYTES, &b, &full[buffer], step * STEP, blockIdx.x * TILE);
                if (++buffer == BUFFERS) {
                    buffer = 0;
                    ++round;
                }
            }
        }
        return;
    }

    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    float sum[ACCUMULATORS] = {};
    const uint8_t *own_rows = a_tiles + (warpgroup - 1) * (TILE_BYTES / 2);
    for (int step = 0, buffer = 0, round = 0; step < steps; ++step) {
        wait(&full[buffer], round & 1);
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
        for (int i = 0; i < STEP; i += 16)
            multiply(sum, descriptor(own_rows + buffer * TILE_BYTES + 2 * i), descriptor(b_tiles + buffer * TILE_BYTES + 2 * i));
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
        if (threadIdx.x % WARPGROUP == 0)
            arrive(&empty[buffer]);
        if (++buffer == BUFFERS) {
            buffer = 0;
            ++round;
        }
    }

    const int warp = threadIdx.x % WARPGROUP / 32, lane = threadIdx.x % 32;
    const int row = blockIdx.y * TILE + (warpgroup - 1) * 64 + warp * 16 + lane / 4;
    const int column = blockIdx.x * TILE + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < ACCUMULATORS; i += 4) {
        if (column + 2 * i < n) {
            if (row < m)
                *reinterpret_cast<float2 *>(&c[row * n + column + 2 * i]) = make_float2(sum[i], sum[i + 1]);
            if (row + 8 < m)
                *reinterpret_cast<float2 *>(&c[(row + 8) * n + column + 2 * i]) = make_float2(sum[i + 2], sum[i + 3]);
        }
    }
}
