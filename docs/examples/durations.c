/* A duration predictor (conv, relu, layer norm, twice; linear) in plain C that writes a portavoz trace.

   cc durations.c -lm -o durations && ./durations weights.bin port.trace

   weights.bin: three int32 (steps, channels, inner), then float32: the input [steps, channels]; for each of the two
   convolutions weight [inner, in, 3], bias [inner], and of its norm weight and bias [inner]; last weight [1, inner],
   bias [1]. The part below the line is the model; everything above it may be copied. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *body;                       /* the tensors, until the header's length is known */
static char index_[1 << 16], units[1 << 16];
static long long written;

/* One tensor of up to three axes (0: no axis); "path#call:in0", "path#call:out", or "path:weight". */
static void tensor(const char *key, const char *place, const float *x, int a, int b, int c) {
    long long size = 4LL * a * (b ? b : 1) * (c ? c : 1);
    char shape[64];
    if (c) snprintf(shape, sizeof shape, "%d,%d,%d", a, b, c);
    else if (b) snprintf(shape, sizeof shape, "%d,%d", a, b);
    else snprintf(shape, sizeof shape, "%d", a);
    snprintf(index_ + strlen(index_), sizeof index_ - strlen(index_),
             ",\"%s:%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%lld,%lld]}",
             key, place, shape, written, written + size);
    fwrite(x, 1, size, body);
    written += size;
}

/* One unit, in the order in which they run: its name, its operation, what it declares ("" or "\"eps\":1e-05"). */
static void unit(const char *key, const char *word, const char *facts) {
    snprintf(units + strlen(units), sizeof units - strlen(units), "%s{\\\"key\\\":\\\"%s\\\",\\\"op\\\":\\\"%s\\\",\\\"facts\\\":{%s}}",
             *units ? "," : "", key, word, facts);
}

static int finish(const char *path) {    /* 8 bytes: the header's length; the header; the tensors */
    static char header[1 << 18], copy[1 << 16];
    snprintf(header, sizeof header,
             "{\"__metadata__\":{\"portavoz.trace\":\"{\\\"format\\\":\\\"portavoz-trace\\\",\\\"version\\\":2,"
             "\\\"producer\\\":\\\"durations.c\\\",\\\"units\\\":[%s]}\"}%s}", units, index_);
    uint64_t length = strlen(header);
    FILE *out = fopen(path, "wb");
    if (!out) return perror(path), 1;
    fwrite(&length, 8, 1, out);          /* little-endian machines only */
    fwrite(header, 1, length, out);
    rewind(body);
    for (size_t n; (n = fread(copy, 1, sizeof copy, body)) > 0;) fwrite(copy, 1, n, out);
    return fclose(out) ? 1 : 0;
}

/* ------------------------------------------------------------------------------------------------------------- */

static FILE *weights;
static float *take(int n) {
    float *x = malloc(n * sizeof *x);
    if (fread(x, sizeof *x, n, weights) != (size_t)n) exit((fprintf(stderr, "weights.bin is too short\n"), 2));
    return x;
}

static float *conv(const float *x, const float *w, const float *b, int steps, int in, int out) {
    float *y = calloc(steps * out, sizeof *y);
    for (int t = 0; t < steps; t++)
        for (int o = 0; o < out; o++) {
            float sum = b[o];
            for (int k = 0; k < 3; k++)
                for (int i = 0; i < in; i++)
                    if (t + k - 1 >= 0 && t + k - 1 < steps) sum += x[(t + k - 1) * in + i] * w[(o * in + i) * 3 + k];
            y[t * out + o] = sum;
        }
    return y;
}

int main(int argc, char **argv) {
    int head[3];
    if (argc != 3) return fprintf(stderr, "durations WEIGHTS.bin OUT.trace\n"), 2;
    weights = fopen(argv[1], "rb"), body = tmpfile();
    if (!weights || !body || fread(head, 4, 3, weights) != 3) return perror(argv[1]), 2;
    int steps = head[0], in = head[1], inner = head[2];
    float *x = take(steps * in);
    for (int layer = 0; layer < 2; layer++, in = inner) {
        char path[16], key[32];
        float *w = take(inner * in * 3), *b = take(inner), *g = take(inner), *s = take(inner);

        snprintf(path, sizeof path, "c%d", layer);
        snprintf(key, sizeof key, "%s#0", path);
        float *y = conv(x, w, b, steps, in, inner);
        unit(key, "conv1d", "\\\"stride\\\":1,\\\"dilation\\\":1,\\\"padding\\\":1");
        tensor(path, "weight", w, inner, in, 3), tensor(path, "bias", b, inner, 0, 0);
        tensor(key, "in0", x, 1, steps, in), tensor(key, "out", y, 1, steps, inner);

        snprintf(key, sizeof key, "net#0/relu.%d", layer);
        unit(key, "relu", ""), tensor(key, "in0", y, 1, steps, inner);
        for (int i = 0; i < steps * inner; i++) y[i] = y[i] > 0 ? y[i] : 0;
        tensor(key, "out", y, 1, steps, inner);

        snprintf(path, sizeof path, "n%d", layer);
        snprintf(key, sizeof key, "%s#0", path);
        unit(key, "layer_norm", "\\\"eps\\\":1e-05"), tensor(key, "in0", y, 1, steps, inner);
        tensor(path, "weight", g, inner, 0, 0), tensor(path, "bias", s, inner, 0, 0);
        for (int t = 0; t < steps; t++) {
            double mean = 0, spread = 0;
            for (int i = 0; i < inner; i++) mean += y[t * inner + i] / inner;
            for (int i = 0; i < inner; i++) spread += pow(y[t * inner + i] - mean, 2) / inner;
            for (int i = 0; i < inner; i++) y[t * inner + i] = (y[t * inner + i] - mean) / sqrt(spread + 1e-5) * g[i] + s[i];
        }
        tensor(key, "out", y, 1, steps, inner);
        x = y;
    }
    float *w = take(inner), *b = take(1), *y = calloc(steps, sizeof *y);
    for (int t = 0; t < steps; t++) {
        y[t] = b[0];
        for (int i = 0; i < inner; i++) y[t] += x[t * inner + i] * w[i];
    }
    unit("last#0", "linear", ""), tensor("last#0", "in0", x, 1, steps, inner), tensor("last#0", "out", y, 1, steps, 1);
    tensor("last", "weight", w, 1, inner, 0), tensor("last", "bias", b, 1, 0, 0);
    unit("result#0", "value", ""), tensor("result#0", "out", y, 1, steps, 1);
    return finish(argv[2]);
}
