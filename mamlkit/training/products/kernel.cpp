// Batches of matrix products c = a b in float32, with AVX2 or AVX-512.
//
// By tiles that fit into the registers. Small ones at once, since at 10 x 40 x 40 numbers much of
// the time of other libraries goes into finding and calling the right kernel; large ones in blocks
// that stay in the cache, with AVX-512 by the kernel that ATen borrows from oneDNN. A factor whose
// rows do not lie together in memory is copied first by the thread that multiplies it: of a small
// product the right one, of a large one both, a block at a time.

#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#include <immintrin.h>

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

constexpr int64_t kSmall = 1 << 20;  // multiplications of one matrix with another
constexpr int64_t kAlone = 1 << 22;  // of all together: not worth a second thread

// The most rows, columns and inner numbers of a block.
constexpr int64_t kRows = 256, kColumns = 1024, kInner = 640;
constexpr int64_t kFew = 64;  // rows or columns that are not divided among threads

int threads_for(int64_t multiplications) {
  return multiplications < kAlone ? 1 : at::get_num_threads();
}

constexpr int64_t kLine = 16;  // numbers that come into the cache together

void fetch(const float* from) { _mm_prefetch(reinterpret_cast<const char*>(from), _MM_HINT_T0); }

// The vectors of this processor, and how many make a tile: kTall rows of kVectors.
#ifdef __AVX512F__
constexpr bool kBorrowed = true;  // whether oneDNN's kernel is to be had
constexpr int kTall = 8, kVectors = 3, kLanes = 16;
using Vector = __m512;
Vector zeros() { return _mm512_setzero_ps(); }
Vector load(const float* from, int lanes) {
  return _mm512_maskz_loadu_ps(0xffff >> (kLanes - lanes), from);
}
void store(float* to, Vector v, int lanes) {
  _mm512_mask_storeu_ps(to, 0xffff >> (kLanes - lanes), v);
}
Vector add_product(float a, Vector b, Vector c) { return _mm512_fmadd_ps(_mm512_set1_ps(a), b, c); }
#else
constexpr bool kBorrowed = false;
constexpr int kTall = 6, kVectors = 2, kLanes = 8;
using Vector = __m256;
__m256i mask(int lanes) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
Vector zeros() { return _mm256_setzero_ps(); }
Vector load(const float* from, int lanes) {
  return lanes == kLanes ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, mask(lanes));
}
void store(float* to, Vector v, int lanes) {  // masked, it takes tens of cycles
  lanes == kLanes ? _mm256_storeu_ps(to, v) : _mm256_maskstore_ps(to, mask(lanes), v);
}
Vector add_product(float a, Vector b, Vector c) { return _mm256_fmadd_ps(_mm256_set1_ps(a), b, c); }
#endif

// A batch of matrices: where it starts, and how far its matrices, rows and columns lie apart.
struct Matrices {
  const float* start;
  int64_t matrix, row, column;
};

// A block of matrix number `i`.
Matrices block(const Matrices& m, int64_t i, int64_t row, int64_t column) {
  return {m.start + i * m.matrix + row * m.row + column * m.column, 0, m.row, m.column};
}

// The same numbers with rows that lie together: the matrix itself, or a copy in `room`.
Matrices rows_together(const Matrices& m, int64_t rows, int64_t columns, std::vector<float>& room) {
  if (m.column == 1 && m.row >= columns) return m;
  room.resize(rows * columns);
  if (m.row == 1 && m.column >= rows) {
    fbgemm::transpose_simd<float>(columns, rows, m.start, m.column, room.data(), columns);
  } else {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        room[i * columns + j] = m.start[i * m.row + j * m.column];
  }
  return {room.data(), 0, columns, 1};
}

constexpr int64_t parts(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

// The size of parts as even as can be, of at most `most` each.
constexpr int64_t even(int64_t whole, int64_t most) { return parts(whole, parts(whole, most)); }

// c = a b, or c += a b, for `Rows` rows and at most `Vectors` vectors of columns, kept in registers
// while it goes along the inner dimension; of the last vector there are `last` lanes. The rows of b
// lie together, a may lie in memory in any way. `ahead`: fetch as many rows below those of a.
template <int Vectors, int Rows>
void tile(const Matrices& a, const Matrices& b, float* c, int64_t c_row, int64_t inner, int last,
          bool add, bool ahead) {
  const auto lanes = [last](int j) { return j == Vectors - 1 ? last : kLanes; };
  Vector sum[Rows][Vectors];
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; ++j)
      sum[i][j] = add ? load(c + i * c_row + j * kLanes, lanes(j)) : zeros();
  const float *left = a.start, *right = b.start;
  for (int64_t k = 0; k < inner; ++k, left += a.column, right += b.row) {
    if (ahead && k % kLine == 0)
#pragma GCC unroll 8
      for (int i = 0; i < Rows; ++i) fetch(left + (Rows + i) * a.row);
    Vector row[Vectors];
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; ++j) row[j] = load(right + j * kLanes, lanes(j));
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 3
      for (int j = 0; j < Vectors; ++j)
        sum[i][j] = add_product(left[i * a.row], row[j], sum[i][j]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; ++j) store(c + i * c_row + j * kLanes, sum[i][j], lanes(j));
}

using Tile = decltype(&tile<1, 1>);

template <int Vectors, int... Rows>
constexpr std::array<Tile, kTall> of_rows(std::integer_sequence<int, Rows...>) {
  return {tile<Vectors, Rows + 1>...};
}

template <int... Vectors>
constexpr std::array<std::array<Tile, kTall>, kVectors> tiles(
    std::integer_sequence<int, Vectors...>) {
  return {of_rows<Vectors + 1>(std::make_integer_sequence<int, kTall>())...};
}

constexpr auto kTiles = tiles(std::make_integer_sequence<int, kVectors>());

// The same for any number of rows and columns, in tiles as even as can be. `far`: the factors are
// out of the cache, so what later tiles need is fetched while earlier ones are computed (of a, where
// its rows lie together): the processor foresees neither the next rows nor the next lines of b.
void in_tiles(const Matrices& a, const Matrices& b, float* c, int64_t c_row, int64_t rows,
              int64_t columns, int64_t inner, bool add, bool far) {
  const int64_t tall = even(rows, kTall);
  const int64_t wide = parts(even(columns, kVectors * kLanes), kLanes) * kLanes;
  for (int64_t column = 0; column < columns; column += wide) {
    const int64_t width = std::min(wide, columns - column), vectors = parts(width, kLanes);
    const int last = width - (vectors - 1) * kLanes;
    const bool fetch_a = far && column == 0 && a.column == 1;
    const bool fetch_b = far && column + wide < columns;
    for (int64_t row = 0; row < rows; row += tall) {
      const Tile product = kTiles[vectors - 1][std::min(tall, rows - row) - 1];
      if (fetch_b)
        for (int64_t k = inner * row / rows; k < inner * std::min(row + tall, rows) / rows; ++k)
          for (int64_t j = 0; j < wide; j += kLine) fetch(b.start + k * b.row + column + wide + j);
      product(block(a, 0, row, 0), block(b, 0, 0, column), c + row * c_row + column, c_row, inner,
              last, add, fetch_a && row + 2 * tall <= rows);
    }
  }
}

// Gives a block of matrix number `i`, starting at `row` and `column`, with rows that lie together;
// in `room`, where it has to be copied.
auto plain(const Matrices& m) {
  return [m](int64_t i, int64_t row, int64_t column, int64_t rows, int64_t columns,
             std::vector<float>& room) {
    return rows_together(block(m, i, row, column), rows, columns, room);
  };
}

struct Rooms {
  std::vector<float> left, right;
};

// c = a b for a block of c. `a` and `b` give blocks of matrices, as `plain` does.
template <class A, class B>
void block_product(const A& a, const B& b, float* c, int64_t c_row, int64_t i, int64_t row,
                   int64_t column, int64_t height, int64_t width, int64_t inner, Rooms& rooms) {
  for (int64_t k = 0; k < inner; k += kInner) {
    const int64_t depth = std::min(kInner, inner - k);
    const Matrices left = a(i, row, k, height, depth, rooms.left);
    const Matrices right = b(i, k, column, depth, width, rooms.right);
    if (kBorrowed)
      at::native::cpublas::brgemm(height, width, depth, left.row, right.row, c_row, k > 0,
                                  left.start, right.start, c, false);
    else
      in_tiles(left, right, c, c_row, height, width, depth, k > 0, true);
  }
}

// c = a b in blocks, shared among threads.
template <class A, class B>
void in_blocks(const A& a, const B& b, float* c, int64_t batch, int64_t rows, int64_t columns,
               int64_t inner) {
  const int threads = threads_for(batch * rows * columns * inner);
  int64_t tall = even(rows, kRows), wide = even(columns, kColumns);  // of a block
  const auto blocks = [&] { return batch * parts(rows, tall) * parts(columns, wide); };
  while (blocks() < 2 * threads && std::max(tall, wide) > kFew)
    (tall > wide ? tall : wide) = parts(std::max(tall, wide), 2);
  for (int64_t more = parts(rows, tall); blocks() % threads && tall > kFew; ++more)
    tall = parts(rows, more);  // until there are as many for each thread
  const int64_t down = parts(rows, tall), across = parts(columns, wide);
#pragma omp parallel num_threads(threads)
  {
    static thread_local Rooms rooms;
#pragma omp for schedule(static)
    for (int64_t n = 0; n < batch * down * across; ++n) {
      const int64_t i = n / (down * across);
      const int64_t row = n / across % down * tall, column = n % across * wide;
      block_product(a, b, c + (i * rows + row) * columns + column, columns, i, row, column,
                    std::min(tall, rows - row), std::min(wide, columns - column), inner, rooms);
    }
  }
}

void small(const Matrices& a, const Matrices& b, float* c, int64_t batch, int64_t rows,
           int64_t columns, int64_t inner) {
  const int threads = threads_for(batch * rows * columns * inner);
  const int64_t fair = parts(batch * rows, 2 * threads);  // enough blocks of rows for all threads
  const int64_t tall = even(rows, std::max<int64_t>(fair, kTall)), down = parts(rows, tall);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    static thread_local std::vector<float> room;
#pragma omp for schedule(static)
    for (int64_t n = 0; n < batch * down; ++n) {
      const int64_t i = n / down, top = n % down * tall;
      const Matrices right = rows_together(block(b, i, 0, 0), inner, columns, room);
      in_tiles(block(a, i, top, 0), right, c + (i * rows + top) * columns, columns,
               std::min(tall, rows - top), columns, inner, false, false);
    }
  }
}

void multiply(const Matrices& a, const Matrices& b, float* c, int64_t batch, int64_t rows,
              int64_t columns, int64_t inner) {
  if (batch * rows * columns == 0) return;
  const int64_t one = rows * columns * inner;
  if (one <= kSmall)
    small(a, b, c, batch, rows, columns, inner);
  else
    in_blocks(plain(a), plain(b), c, batch, rows, columns, inner);
}

}  // namespace
#endif
