// What Python and the code that TorchInductor generates call.

#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))

namespace {

// A tensor. Of fewer than five dimensions, these are the last ones; the others have size 1.
struct View {
  float* start;
  int64_t dimensions, sizes[5], steps[5];

  Matrices matrices() const { return {start, steps[2], steps[3], steps[4]}; }
  Images images() const {
    return {start,    sizes[0], sizes[1], sizes[2], sizes[3], sizes[4],
            steps[0], steps[1], steps[2], steps[3], steps[4]};
  }
};

View view(AtenTensorHandle tensor) {
  int64_t dimensions, *sizes, *steps;
  void* start;
  aoti_torch_get_dim(tensor, &dimensions);
  aoti_torch_get_sizes(tensor, &sizes);
  aoti_torch_get_strides(tensor, &steps);
  aoti_torch_get_data_ptr(tensor, &start);
  View result{static_cast<float*>(start), dimensions, {1, 1, 1, 1, 1}, {}};
  std::copy_n(sizes, dimensions, result.sizes + 5 - dimensions);
  std::copy_n(steps, dimensions, result.steps + 5 - dimensions);
  return result;
}

// A new tensor of the last `dimensions` of these sizes, whose rows lie together.
AOTITorchError made(int64_t dimensions, const std::array<int64_t, 5>& sizes,
                    AtenTensorHandle* out) {
  std::array<int64_t, 5> steps;
  int64_t step = 1;
  for (int d = 4; d >= 0; step *= sizes[d--]) steps[d] = step;
  return aoti_torch_empty_strided(dimensions, sizes.end() - dimensions, steps.end() - dimensions,
                                  aoti_torch_dtype_float32(), aoti_torch_device_type_cpu(), 0, out);
}

}  // namespace

// Each fills c, which lies together.

extern "C" void mamlkit_products(const View& a, const View& b, const View& c) {
  multiply(a.matrices(), b.matrices(), c.start, c.sizes[2], c.sizes[3], c.sizes[4], a.sizes[4]);
}

extern "C" void mamlkit_patches_times(const View& x, const View& b, const View& c) {
  patches_times(x.images(), b.matrices(), c.start, c.sizes[4]);
}

extern "C" void mamlkit_times_patches(const View& a, const View& x, const View& c) {
  times_patches(a.matrices(), x.images(), c.start, c.sizes[3]);
}

extern "C" void mamlkit_pasted_product(const View& a, const View& b, const View& c) {
  pasted_product(a.matrices(), b.matrices(), c.images(), c.start, a.sizes[4]);
}

// The same with a new tensor for c, of tensors whose sizes are known to fit.

using Filling = decltype(&mamlkit_products);

static AOTITorchError filled(Filling fill, const View& a, const View& b, int64_t dimensions,
                             const std::array<int64_t, 5>& sizes, AtenTensorHandle* c) {
  const auto error = made(dimensions, sizes, c);
  if (error == AOTI_TORCH_SUCCESS) fill(a, b, view(*c));
  return error;
}

extern "C" AOTITorchError aoti_torch_cpu_products(AtenTensorHandle a, AtenTensorHandle b,
                                                  AtenTensorHandle* c) {
  const View left = view(a), right = view(b);
  return filled(mamlkit_products, left, right, left.dimensions,
                {1, 1, left.sizes[2], left.sizes[3], right.sizes[4]}, c);
}

extern "C" AOTITorchError aoti_torch_cpu_patches_times(AtenTensorHandle x, AtenTensorHandle b,
                                                       AtenTensorHandle* c) {
  const View left = view(x), right = view(b);
  const Images images = left.images();
  return filled(mamlkit_patches_times, left, right, right.dimensions,
                {1, 1, images.batch, images.rows(), right.sizes[4]}, c);
}

extern "C" AOTITorchError aoti_torch_cpu_times_patches(AtenTensorHandle a, AtenTensorHandle x,
                                                       AtenTensorHandle* c) {
  const View left = view(a), right = view(x);
  const Images images = right.images();
  return filled(mamlkit_times_patches, left, right, left.dimensions,
                {1, 1, images.batch, left.sizes[3], images.columns()}, c);
}

extern "C" AOTITorchError aoti_torch_cpu_pasted_product(AtenTensorHandle a, AtenTensorHandle b,
                                                        int64_t height, int64_t width,
                                                        AtenTensorHandle* c) {
  const View left = view(a), right = view(b);
  const int64_t images = left.sizes[3] / (parts(height, 2) * parts(width, 2));
  return filled(mamlkit_pasted_product, left, right, left.dimensions + 2,
                {left.sizes[2], images, height, width, right.sizes[4] / 9}, c);
}

// The multiplications of the largest product, of one matrix with another, for which these kernels
// are the faster ones here; 0 where they are for none. Measured on AMD's processors, with AVX2 and
// with AVX-512. On Intel's, whose own library (MKL) torch multiplies with by default, nothing was
// measured: small products are taken with AVX2, where finding and calling is what costs, no others.
extern "C" int64_t mamlkit_most() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  if (kBorrowed && !__builtin_cpu_supports("avx512f")) return 0;
  if (__builtin_cpu_is("intel")) return kBorrowed ? 0 : kSmall;
  const std::vector<float> ones(16 * 16, 1.0f);
  std::vector<float> result(16 * 16);
  try {  // a build of torch without it throws, which must not happen among threads
    if (kBorrowed)
      at::native::cpublas::brgemm(16, 16, 16, 16, 16, 16, false, ones.data(), ones.data(),
                                  result.data(), false);
  } catch (...) {
    return kSmall;
  }
  const bool right = !kBorrowed || result == std::vector<float>(16 * 16, 16.0f);
  return right ? std::numeric_limits<int64_t>::max() : kSmall;
}

#else
extern "C" int64_t mamlkit_most() { return 0; }
#endif
