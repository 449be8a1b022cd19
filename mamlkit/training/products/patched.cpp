// Products with the patches of images, which are cut, or added up again, within the cache: nine
// times the channels at a quarter of the places, they would be the largest things in memory.
//
// The patches of images [images, height, width, channels] are a matrix: a row for each place that
// a 3x3 filter of stride 2 stops at, a column for each of 9 x channels numbers under it.

#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))

namespace {

// Batches of images, in any way in memory.
struct Images {
  const float* start;
  int64_t batch, images, height, width, channels;      // how many
  int64_t batch_step, image, row, column, channel;     // how far apart
  int64_t down() const { return parts(height, 2); }    // stops of the filter
  int64_t across() const { return parts(width, 2); }
  int64_t rows() const { return images * down() * across(); }  // of the matrix of patches
  int64_t columns() const { return 9 * channels; }
};

// A block of the matrix of patches of batch number `i`, cut into `room`.
Matrices cut(const Images& x, int64_t i, int64_t row, int64_t column, int64_t rows, int64_t columns,
             std::vector<float>& room) {
  room.resize(rows * columns);
  const int64_t line = 3 * x.channels;  // of three pixels side by side
  const bool together = x.channel == 1 && x.column == x.channels;
  float* to = room.data();
  for (int64_t r = row; r < row + rows; ++r) {
    const int64_t place = r % (x.down() * x.across()), left = 2 * (place % x.across()) - 1;
    const float* image = x.start + i * x.batch_step + r / (x.down() * x.across()) * x.image;
    for (int64_t k = column; k < column + columns;) {
      const int64_t y = 2 * (place / x.across()) - 1 + k / line, begin = k % line;
      const int64_t end = std::min(line, begin + column + columns - k);
      const bool inside = y >= 0 && y < x.height;
      // Of these numbers, those in the image; zeros on either side.
      const int64_t low = inside ? std::clamp(-left * x.channels, begin, end) : end;
      const int64_t high = inside ? std::clamp((x.width - left) * x.channels, low, end) : end;
      to = std::fill_n(to, low - begin, 0.0f);
      if (together) {
        to = std::copy_n(image + y * x.row + left * x.channels + low, high - low, to);
      } else {
        for (int64_t n = low; n < high; ++n)
          *to++ = image[y * x.row + (left + n / x.channels) * x.column + n % x.channels * x.channel];
      }
      to = std::fill_n(to, end - high, 0.0f);
      k += end - begin;
    }
  }
  return {room.data(), 0, columns, 1};
}

// The transpose of cutting: each place of each image is the sum of what the patches have there.
void paste(const float* from, int64_t images, const Images& x, float* to) {
  const int64_t channels = x.channels, across = x.across(), down = x.down();
  for (int64_t image = 0; image < images; ++image, from += down * across * 9 * channels)
    for (int64_t y = 0; y < x.height; ++y)
      for (int64_t z = 0; z < x.width; ++z, to += channels) {
        bool first = true;
        for (int64_t i = y / 2; i <= (y + 1) / 2 && i < down; ++i)
          for (int64_t j = z / 2; j <= (z + 1) / 2 && j < across; ++j) {
            const int64_t tap = 3 * (y - 2 * i + 1) + z - 2 * j + 1;
            const float* there = from + ((i * across + j) * 9 + tap) * channels;
            if (first)
              std::copy_n(there, channels, to);
            else
              for (int64_t c = 0; c < channels; ++c) to[c] += there[c];
            first = false;
          }
      }
}

// c = P b: [batch, rows, columns of b].
void patches_times(const Images& x, const Matrices& b, float* c, int64_t columns) {
  in_blocks(
      [&](int64_t i, int64_t row, int64_t k, int64_t height, int64_t depth, auto& room) {
        return cut(x, i, row, k, height, depth, room);
      },
      plain(b), c, x.batch, x.rows(), columns, x.columns());
}

// c = a P: [batch, rows of a, columns of P].
void times_patches(const Matrices& a, const Images& x, float* c, int64_t rows) {
  in_blocks(
      plain(a),
      [&](int64_t i, int64_t k, int64_t column, int64_t depth, int64_t width, auto& room) {
        return cut(x, i, k, column, depth, width, room);
      },
      c, x.batch, rows, x.columns(), x.rows());
}

// The images of patches a b: [batch, images, height, width, channels]; `x` says how many.
void pasted_product(const Matrices& a, const Matrices& b, const Images& x, float* c,
                    int64_t inner) {
  const int threads = threads_for(x.batch * x.rows() * x.columns() * inner);
  const int64_t places = x.down() * x.across(), pixels = x.height * x.width * x.channels;
  const int64_t most = std::min(kRows / places, kRows * kColumns / (places * x.columns()));
  int64_t some = even(x.images, std::max<int64_t>(most, 1));  // images of a block
  for (int64_t more = parts(x.images, some); x.batch * more % threads && some > 1; ++more)
    some = parts(x.images, more);
  const int64_t blocks = parts(x.images, some);
#pragma omp parallel num_threads(threads)
  {
    static thread_local Rooms rooms;
    static thread_local std::vector<float> patches;
    patches.resize(some * places * x.columns());
#pragma omp for schedule(static)
    for (int64_t n = 0; n < x.batch * blocks; ++n) {
      const int64_t i = n / blocks, image = n % blocks * some;
      const int64_t images = std::min(some, x.images - image);
      block_product(plain(a), plain(b), patches.data(), x.columns(), i, image * places, 0,
                    images * places, x.columns(), inner, rooms);
      paste(patches.data(), images, x, c + (i * x.images + image) * pixels);
    }
  }
}

}  // namespace

#endif
