// constant_chain: cycles of 128 loads from constant memory each of which gives the offset of the next: within 1 KiB, and within
// 8 KiB, which is more than the first level of constant caches holds. One warp; each chain is followed once before it counts.
//
// Launch:     one block of 32 threads.
// Arguments:  0  cycles  int[2]: within 1 KiB, within 8 KiB
//             1  last    int[2]: the byte of the table at which each chain ended; that of 8 KiB begins at 1024; 0 before

#define STEPS 128
#define STRIDE 16 // words: a line of 64 bytes

// Offsets in bytes in the whole table: no arithmetic between the loads.
#define FROM(i, first, n) 4 * (first + ((i) + STRIDE) % (n)),
#define FOUR(i, f, n) FROM(i, f, n) FROM(i + 1, f, n) FROM(i + 2, f, n) FROM(i + 3, f, n)
#define SIXTEEN(i, f, n) FOUR(i, f, n) FOUR(i + 4, f, n) FOUR(i + 8, f, n) FOUR(i + 12, f, n)
#define SIXTY_FOUR(i, f, n) SIXTEEN(i, f, n) SIXTEEN(i + 16, f, n) SIXTEEN(i + 32, f, n) SIXTEEN(i + 48, f, n)
#define WORDS_256(i, f, n) SIXTY_FOUR(i, f, n) SIXTY_FOUR(i + 64, f, n) SIXTY_FOUR(i + 128, f, n) SIXTY_FOUR(i + 192, f, n)
#define WORDS_1024(i, f, n) WORDS_256(i, f, n) WORDS_256(i + 256, f, n) WORDS_256(i + 512, f, n) WORDS_256(i + 768, f, n)

__constant__ int table[256 + 2048] = {WORDS_256(0, 0, 256) WORDS_1024(0, 256, 2048) WORDS_1024(1024, 256, 2048)};

__device__ int took(int from, int zero, int *last)
{
    __shared__ volatile int end;
    int start = clock();
    int at = from + (start & zero); // not before the clock
#pragma unroll
    for (int step = 0; step < STEPS; ++step)
        asm volatile("ld.const.u32 %0, [%0];" : "+r"(at));
    end = at; // waits for the last
    __syncthreads();
    int cycles = clock() - start;
    *last = end;
    return cycles;
}

extern "C" __global__ void constant_chain(int *cycles, int *last)
{
    int first = table[0] - 4 * STRIDE; // the address of the table, not known to the compiler to be 0
    int zero = last[0];
    __syncthreads();
#pragma unroll 1
    for (int walk = 0; walk < 2; ++walk)
        cycles[0] = took(first, zero, last);
    zero = last[0];
#pragma unroll 1
    for (int walk = 0; walk < 2; ++walk)
        cycles[1] = took(first + 1024, zero, last + 1);
}
