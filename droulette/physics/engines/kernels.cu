// What CUDA runs. `cuda.py` puts formulas of lens, source and noise in the place of the words in capitals.
// The arithmetic is that of `arrays.py`, operation by operation: the same bytes.

#define INFINITE __longlong_as_double(0x7ff0000000000000LL)
#define NOT_A_NUMBER __longlong_as_double(0x7ff8000000000000LL)
#define to_int64 __double_as_longlong
#define to_float64 __longlong_as_double

#if DRAWS
// Pictures of size × size pixels, row by row of the batch. A block of 256 threads draws a tile of 16 × 16 pixels.
const int SIDE = 16;
typedef PIXEL Pixel;

struct Batch {
    const double *tests, *levels;  // constants of each picture
    int of_tests, of_levels;       // how many they are
    int size;
    const double *rays;  // of a pixel, along an axis
    int rays_across;
    const double *centre_x, *centre_y;
};

__device__ inline double test(const double *constants, double first, double second) { TEST_BODY }

__device__ inline double level(const double *constants, double first, double second) { LEVEL_BODY }

// This thread's pixel; whether its tile may hold light.
__device__ inline bool find(const Batch &batch, int &row, int &i, int &j, double &x, double &y)
{
    __shared__ bool lit;
    int across = (batch.size + SIDE - 1) / SIDE;
    row = blockIdx.x / (across * across);
    int top = blockIdx.x / across % across * SIDE, left = blockIdx.x % across * SIDE;
    double half = batch.size / 2.0, centre_x = batch.centre_x[row], centre_y = batch.centre_y[row];
    if (threadIdx.x == 0) {
        double middle = (SIDE - 1) / 2.0;
        x = left + middle - half + centre_x;
        y = half - (top + middle) + centre_y;
        lit = test(batch.tests + (long long)row * batch.of_tests, x, y) > 0.0;
    }
    __syncthreads();
    i = threadIdx.x / SIDE;
    j = threadIdx.x % SIDE;
    x = left - half + centre_x + j;
    y = half - top + centre_y - i;
    i += top;
    j += left;
    return lit && i < batch.size && j < batch.size;
}

// The mean of the rays of a pixel.
__device__ inline double mean_level(const Batch &batch, int row, double x, double y)
{
    const double *constants = batch.levels + (long long)row * batch.of_levels;
    double total = 0.0;
    for (int b = 0; b < batch.rays_across; b++)
        for (int a = 0; a < batch.rays_across; a++)
            total = level(constants, x + batch.rays[a], y - batch.rays[b]) + total;
    double mean = total / (batch.rays_across * batch.rays_across);
    return WHOLE ? rint(mean) : mean;
}

#define BATCH                                                                                           \
    const double *tests, int of_tests, const double *levels, int of_levels, int size, const double *rays, \
        int rays_across, const double *centre_x, const double *centre_y
#define THE_BATCH {tests, levels, of_tests, of_levels, size, rays, rays_across, centre_x, centre_y}

extern "C" __global__ void draw(BATCH, Pixel *pictures)
{
    const Batch batch = THE_BATCH;
    int row, i, j;
    double x, y;
    if (find(batch, row, i, j, x, y))
        pictures[((long long)row * size + i) * size + j] = (Pixel)mean_level(batch, row, x, y);
}

// Of whole grey levels their sum, and their sums times column and line: (3, rows).
extern "C" __global__ void add_up(BATCH, int rows, unsigned long long *sums)
{
    __shared__ unsigned int sum[3];
    if (threadIdx.x == 0)
        sum[0] = sum[1] = sum[2] = 0;
    const Batch batch = THE_BATCH;
    int row, i, j;
    double x, y;
    if (find(batch, row, i, j, x, y)) {
        unsigned int grey = (unsigned int)mean_level(batch, row, x, y);
        atomicAdd(&sum[0], grey);
        atomicAdd(&sum[1], grey * j);
        atomicAdd(&sum[2], grey * i);
    }
    __syncthreads();
    if (threadIdx.x == blockDim.x - 1 && sum[0])
        for (int k = 0; k < 3; k++)
            atomicAdd(&sums[(long long)k * rows + row], (unsigned long long)sum[k]);
}

#else
__device__ inline void add_noise(const double *constants, double first, double &second, double &third) { LEVEL_BODY }

// Noise on pairs of pixels, the n-th of the first half and the n-th of the second, which share random numbers.
extern "C" __global__ void expose(const double *constants, int of_row, int pixels, double *pictures)
{
    int half = (pixels + 1) / 2, blocks = half / blockDim.x + 1;
    long long row = blockIdx.x / blocks;
    int number = blockIdx.x % blocks * blockDim.x + threadIdx.x;
    if (number >= half)
        return;
    double *picture = pictures + row * pixels, nothing = 0.0;
    double &other = number + half < pixels ? picture[number + half] : nothing;
    add_noise(constants + row * of_row, number, picture[number], other);
}
#endif
