// ffma_loop: 128 dependent multiply-adds a trip, and no memory. The compiler does not see that the sum is never zero, which keeps
// the chain alive.
//
// Launch:     any.
// Arguments:  0  trips  int

extern "C" __global__ void ffma_loop(int trips)
{
    float x = 2.0f;
    if (trips <= 0)
        return;
    for (int trip = 0; trip < trips; ++trip) {
#pragma unroll
        for (int op = 0; op < 128; ++op)
            asm volatile("fma.rn.f32 %0, %0, %1, %2;" : "+f"(x) : "f"(2.00008f), "f"(1.9f));
    }
    if (x == 0.0f)
        asm volatile("trap;");
}
