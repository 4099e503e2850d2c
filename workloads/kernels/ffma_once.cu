// ffma_once: 20 dependent multiply-adds on constants, and no memory. Hardware compares the sum with zero at the end, which it never
// is; so the chain stays alive.
//
// Launch:     any.
// Arguments:  none

extern "C" __global__ void ffma_once()
{
    float x = 2.0f;
#pragma unroll
    for (int op = 0; op < 20; ++op)
        asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x) : "f"(2.9f), "f"(1.9f));
    if (x == 0.0f)
        asm volatile("trap;");
}
