// virtual_calls: area[i] by a virtual function of a shape that depends on i, power[i] by a function from a table, ackermann[i]
// by recursion. Indirect calls from lanes that disagree, objects in local memory reached by generic addresses, a stack.
//
// Launch:     one-dimensional; a thread for every element.
// Arguments:  0  kind       const unsigned[n]
//             1  size       const float[n]
//             2  area       float[n]
//             3  power      float[n]
//             4  ackermann  int[n], A(2, kind % 4) = 2 * (kind % 4) + 3
//             5  n          int

struct Shape {
    float size;
    __device__ virtual float area() const = 0;
    __device__ virtual float corners() const { return 0.0f; }
};

struct Square : Shape {
    __device__ float area() const override { return size * size; }
    __device__ float corners() const override { return 4.0f; }
};

struct Circle : Shape {
    __device__ float area() const override { return 3.14159265f * size * size; }
};

struct Ring : Circle {
    float hole;
    __device__ float area() const override { return 3.14159265f * (size * size - hole * hole); }
};

typedef float (*Function)(float);
__device__ float square(float x) { return x * x; }
__device__ float cube(float x) { return x * x * x; }
__device__ float root(float x) { return sqrtf(x); }
__device__ Function functions[3] = {square, cube, root};

__device__ __noinline__ int ackermann_of(int m, int n)
{
    if (m == 0)
        return n + 1;
    return ackermann_of(m - 1, n == 0 ? 1 : ackermann_of(m, n - 1));
}

extern "C" __global__ void virtual_calls(const unsigned *__restrict__ kind, const float *__restrict__ size, float *area,
                                         float *power, int *ackermann, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    Square square;
    Circle circle;
    Ring ring;
    square.size = circle.size = ring.size = size[i];
    ring.hole = 0.5f;
    Shape *shapes[3] = {&square, &circle, &ring};
    const Shape *shape = shapes[kind[i] % 3];
    area[i] = shape->area() + shape->corners();
    power[i] = functions[kind[i] % 3](size[i]);
    ackermann[i] = ackermann_of(2, kind[i] % 4);
}
