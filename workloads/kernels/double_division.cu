// double_division: quotient[i] = a[i] / b[i], root[i] = sqrt(|a[i]|), least[i] the smaller of both. Each is a sequence of fused
// multiply-adds from an approximate reciprocal, with a call to a slow path.
//
// Launch:     one-dimensional; a thread for every element.
// Arguments:  0  a         const double[n]
//             1  b         const double[n]
//             2  quotient  double[n]
//             3  root      double[n]
//             4  least     double[n], the smaller of quotient and root
//             5  n         int

extern "C" __global__ void double_division(const double *__restrict__ a, const double *__restrict__ b, double *quotient,
                                           double *root, double *least, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    quotient[i] = a[i] / b[i];
    root[i] = sqrt(fabs(a[i]));
    least[i] = fmin(a[i] / b[i], sqrt(fabs(a[i])));
}
