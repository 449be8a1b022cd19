// Batches of matrix products c = a b in float32, by the kernel that ATen borrows from oneDNN.
//
// The kernel wants both factors with rows that lie together in memory; a factor that is stored
// transposed is copied first, a block at a time, by the thread that multiplies it.

#include <algorithm>
#include <cstdint>
#include <vector>

namespace at {
int get_num_threads();
namespace native::cpublas {
void brgemm(int64_t rows, int64_t columns, int64_t inner, int64_t a_stride, int64_t b_stride,
            int64_t c_stride, bool add, const float* a, const float* b, float* c, bool packed);
}
}  // namespace at
namespace fbgemm {
template <typename T>
void transpose_simd(int64_t rows, int64_t columns, const T* from, int64_t from_stride, T* to,
                    int64_t to_stride);
}

namespace {

constexpr int64_t kRows = 256, kColumns = 1024, kInner = 640;

// A batch of matrices: where it starts, and how far its matrices, rows and columns lie apart.
struct Matrices {
  const float* start;
  int64_t matrix, row, column;
};

// A block whose rows lie together: the matrix itself, or a copy in `room`.
struct Block {
  const float* start;
  int64_t row;
};

Block rows_together(const Matrices& m, int64_t batch, int64_t row, int64_t column, int64_t rows,
                    int64_t columns, std::vector<float>& room) {
  const float* source = m.start + batch * m.matrix + row * m.row + column * m.column;
  if (m.column == 1) return {source, m.row};
  room.resize(rows * columns);
  fbgemm::transpose_simd<float>(columns, rows, source, m.column, room.data(), columns);
  return {room.data(), columns};
}

}  // namespace

// c: [batch, rows, columns], contiguous. Of each factor either rows or columns have stride 1.
extern "C" void products(const float* a, const float* b, float* c, int64_t batch, int64_t rows,
                         int64_t columns, int64_t inner, int64_t a_matrix, int64_t a_row,
                         int64_t a_column, int64_t b_matrix, int64_t b_row, int64_t b_column) {
  const Matrices left{a, a_matrix, a_row, a_column}, right{b, b_matrix, b_row, b_column};
  const int threads = at::get_num_threads();
  int64_t tall = std::min(kRows, rows), wide = std::min(kColumns, columns);  // one block
  const auto blocks = [](int64_t whole, int64_t part) { return (whole + part - 1) / part; };
  while (batch * blocks(rows, tall) * blocks(columns, wide) < 2 * threads &&
         std::max(tall, wide) > 64)
    (tall > wide ? tall : wide) = (std::max(tall, wide) + 1) / 2;
  const int64_t down = blocks(rows, tall), across = blocks(columns, wide);
#pragma omp parallel num_threads(threads)
  {
    static thread_local std::vector<float> left_room, right_room;
#pragma omp for schedule(static)
    for (int64_t block = 0; block < batch * down * across; ++block) {
      const int64_t i = block / (down * across);
      const int64_t row = block / across % down * tall, column = block % across * wide;
      const int64_t height = std::min(tall, rows - row), width = std::min(wide, columns - column);
      for (int64_t k = 0; k < inner; k += kInner) {
        const int64_t depth = std::min(kInner, inner - k);
        const Block x = rows_together(left, i, row, k, height, depth, left_room);
        const Block y = rows_together(right, i, k, column, depth, width, right_room);
        at::native::cpublas::brgemm(height, width, depth, x.row, y.row, columns, k > 0, x.start,
                                    y.start, c + (i * rows + row) * columns + column, false);
      }
    }
  }
}

// Whether the kernel runs here and is the faster one: on processors with AVX-512 not made by Intel,
// on which the library that torch multiplies with by default (MKL) does not use AVX-512.
extern "C" int worthwhile() {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx512f") || __builtin_cpu_is("intel")) return 0;
  const std::vector<float> ones(16 * 16, 1.0f);
  std::vector<float> result(16 * 16);
  try {  // a build of torch without it throws, which must not happen among threads
    at::native::cpublas::brgemm(16, 16, 16, 16, 16, 16, false, ones.data(), ones.data(),
                                result.data(), false);
  } catch (...) {
    return 0;
  }
  return result == std::vector<float>(16 * 16, 16.0f);
#else
  return 0;
#endif
}
