// smith_waterman: score[pair] = the best local alignment of query and target, +2 for a match, -1 for a mismatch, -1 for a gap.
// Two alignments a thread, in the halves of a register: dynamic programming instructions on sm_90, where the others take
// several. The row of the table is in local memory.
//
// Launch:     one-dimensional; a thread for every two pairs.
// Arguments:  0  queries  const unsigned[pairs * length], symbols 0 to 3
//             1  targets  const unsigned[pairs * length]
//             2  scores   int[pairs]
//             3  pairs    int, even
//             4  length   int, at most 32

constexpr int MOST = 32;

extern "C" __global__ void smith_waterman(const unsigned *__restrict__ queries, const unsigned *__restrict__ targets,
                                          int *scores, int pairs, int length)
{
    int first = 2 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (first >= pairs)
        return;
    const unsigned *query = queries + first * length, *target = targets + first * length;

    unsigned row[MOST + 1];
    for (int i = 0; i <= length; ++i)
        row[i] = 0;
    unsigned best = 0;
    for (int j = 0; j < length; ++j) {
        unsigned diagonal = 0, left = 0;
        unsigned symbols = target[j] | target[length + j] << 16;
        for (int i = 0; i < length; ++i) {
            unsigned same = __vcmpeq2(query[i] | query[length + i] << 16, symbols);
            unsigned gain = same & 0x00020002 | ~same & 0xffffffff;
            unsigned up = row[i + 1];
            unsigned gap = __vadd2(__vimax_s16x2_relu(left, up), 0xffffffff);
            unsigned value = __viaddmax_s16x2_relu(diagonal, gain, gap);
            best = __vimax3_s16x2(best, value, value);
            diagonal = up;
            row[i + 1] = left = value;
        }
    }
    scores[first] = best & 0xffff;
    scores[first + 1] = best >> 16;
}
