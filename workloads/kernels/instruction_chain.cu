// instruction_chain: cycles that 128 more dependent instructions of each kind take, by the SM's clock: a chain of 256 less one of 128.
// One warp, so that nothing else issues; all chains run twice, and the second time their instructions are in the caches.
//
// Launch:     one block of 32 threads.
// Arguments:  0  cycles  int[15], as below
//             1  f       float[96], input and output: of single precision: add, mul, fma
//             2  i       int[160], input and output: add, mad.lo, lop3, min, popc
//             3  h       unsigned[64], input and output: halves, packed halves; all 1 before
//             4  d       double[96], input and output
//             5  s       int[32], input and output: the shuffled value
// Cycles are of: add.f32, mul.f32, fma.f32, add.s32, mad.lo.s32, lop3, min.s32, add.f16, fma.f16x2, add.f64, mul.f64, fma.f64, popc,
// shfl, a load from shared memory.

#define STEPS 128
// Of a chain and of one twice as long; what reads the clock is in both.
#define CHAIN(INDEX, CODE)                                                                                             \
    {                                                                                                                  \
        long long start = clock64();                                                                                   \
        _Pragma("unroll") for (int step = 0; step < STEPS; step += 2) { CODE }                                         \
        long long middle = clock64();                                                                                  \
        _Pragma("unroll") for (int step = 0; step < 2 * STEPS; step += 2) { CODE }                                     \
        long long end = clock64();                                                                                     \
        took[INDEX] = (end - middle) - (middle - start);                                                               \
    }

extern "C" __global__ void instruction_chain(int *cycles, float *f, int *i, unsigned *h, double *d, int *s)
{
    int lane = threadIdx.x;
    float fa = f[lane], fm = f[32 + lane], ff = f[64 + lane], one = 1.0f, small = 0.0009765625f;
    int ia = i[lane], im = i[32 + lane], il = i[64 + lane], in = i[96 + lane], ip = i[128 + lane], other = 1, odd = 3;
    unsigned short ha = h[lane], hb = h[32];
    unsigned hf = h[32 + lane], hone = h[63];
    double da = d[lane], dm = d[32 + lane], df = d[64 + lane], done = 1.0, dsmall = 0.0009765625;
    int shuffled = s[lane];
    int took[15];
    __shared__ volatile unsigned words[32];
    unsigned place = (unsigned)__cvta_generic_to_shared((void *)(words + lane));
    words[lane] = place;
    // So that the compiler does not know the constants.
    asm volatile("" : "+f"(one), "+f"(small), "+r"(odd), "+d"(done), "+d"(dsmall));
#pragma unroll 1
    for (int trip = 0; trip < 2; ++trip) {
        CHAIN(0, asm volatile("add.rn.f32 %0, %0, %1;\nadd.rn.f32 %0, %0, %1;" : "+f"(fa) : "f"(small));)
        CHAIN(1, asm volatile("mul.rn.f32 %0, %0, %1;\nmul.rn.f32 %0, %0, %1;" : "+f"(fm) : "f"(one));)
        CHAIN(2, asm volatile("fma.rn.f32 %0, %0, %1, %2;\nfma.rn.f32 %0, %0, %1, %2;" : "+f"(ff) : "f"(one), "f"(small));)
        CHAIN(3, asm volatile("add.s32 %0, %0, %1;\nadd.s32 %1, %1, %0;" : "+r"(other), "+r"(ia));)
        CHAIN(4, asm volatile("mad.lo.s32 %0, %0, %1, %2;\nmad.lo.s32 %0, %0, %2, %1;" : "+r"(im) : "r"(odd), "r"(lane));)
        CHAIN(5, asm volatile("lop3.b32 %0, %0, %1, %2, 0xe8;\nlop3.b32 %0, %0, %1, %2, 0x96;" : "+r"(il) : "r"(odd), "r"(lane));)
        CHAIN(6, asm volatile("min.s32 %0, %0, %1;\nmax.s32 %0, %0, %2;" : "+r"(in) : "r"(odd), "r"(lane));)
        CHAIN(7, asm volatile("add.rn.f16 %0, %0, %1;\nadd.rn.f16 %0, %0, %1;" : "+h"(ha) : "h"(hb));)
        CHAIN(8, asm volatile("fma.rn.f16x2 %0, %0, %1, %2;\nfma.rn.f16x2 %0, %0, %1, %2;" : "+r"(hf) : "r"(hone), "r"(hone));)
        CHAIN(9, asm volatile("add.rn.f64 %0, %0, %1;\nadd.rn.f64 %0, %0, %1;" : "+d"(da) : "d"(dsmall));)
        CHAIN(10, asm volatile("mul.rn.f64 %0, %0, %1;\nmul.rn.f64 %0, %0, %1;" : "+d"(dm) : "d"(done));)
        CHAIN(11, asm volatile("fma.rn.f64 %0, %0, %1, %2;\nfma.rn.f64 %0, %0, %1, %2;" : "+d"(df) : "d"(done), "d"(dsmall));)
        CHAIN(12, asm volatile("popc.b32 %0, %0;\npopc.b32 %0, %0;" : "+r"(ip));)
        CHAIN(13, asm volatile("shfl.sync.bfly.b32 %0, %0, 1, 31, 0xffffffff;\nshfl.sync.bfly.b32 %0, %0, 2, 31, 0xffffffff;" : "+r"(shuffled));)
        CHAIN(14, asm volatile("ld.volatile.shared.u32 %0, [%0];\nld.volatile.shared.u32 %0, [%0];" : "+r"(place));)
    }
    f[lane] = fa, f[32 + lane] = fm, f[64 + lane] = ff;
    i[lane] = ia, i[32 + lane] = im, i[64 + lane] = il, i[96 + lane] = in, i[128 + lane] = ip;
    h[lane] = ha, h[32 + lane] = hf;
    d[lane] = da, d[32 + lane] = dm, d[64 + lane] = df;
    s[lane] = place == (unsigned)__cvta_generic_to_shared((void *)(words + lane)) ? shuffled : -1;
    if (lane == 0)
        for (int kind = 0; kind < 15; ++kind)
            cycles[kind] = took[kind];
}
