// A writer of portavoz traces for C++17, in one header. Nothing else is needed.
//
//   portavoz::Trace trace("my port");
//   trace.weights("decoder.q", "weight", q.data(), {24, 24});                        // optional; PyTorch's order
//   trace.unit("decoder.q#0", "linear", {{"in0", x.data(), {2, 7, 24}}, {"out", y.data(), {2, 7, 24}}});
//   trace.unit("decoder.norm#0", "layer_norm", {…}, "\"eps\":1e-05");
//   trace.value("mel#0", mel.data(), {2, 40, 16});
//   trace.write("port.trace");
//
// Arrays are float (or int64_t), C order, channels last. Each call of a layer has the next number behind '#'.
#pragma once

#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace portavoz {

struct Tensor {
    std::string place;                     // "in0", "in1" …, "out", "out.1" …
    std::string dtype;                     // "F32" or "I64"
    std::vector<std::int64_t> shape;
    std::string bytes;

    Tensor(std::string place, const float *x, std::vector<std::int64_t> shape)
        : place(std::move(place)), dtype("F32"), shape(std::move(shape)), bytes(copy(x)) {}
    Tensor(std::string place, const std::int64_t *x, std::vector<std::int64_t> shape)
        : place(std::move(place)), dtype("I64"), shape(std::move(shape)), bytes(copy(x)) {}

private:
    template <class T> std::string copy(const T *x) const {   // at once: the program may write in place later
        std::size_t count = 1;
        for (auto n : shape) count *= static_cast<std::size_t>(n);
        return std::string(reinterpret_cast<const char *>(x), count * sizeof(T));
    }
};

class Trace {
public:
    explicit Trace(std::string producer) : producer_(std::move(producer)) {}

    // One call of a word, in the order in which they run; `facts` are the inside of a JSON object.
    void unit(const std::string &key, const std::string &word, const std::vector<Tensor> &tensors,
              const std::string &facts = "", const std::string &kind = "leaf") {
        if (!units_.empty()) units_ += ",";
        units_ += "{\"key\":" + quoted(key) + ",\"op\":" + quoted(word) + ",\"kind\":" + quoted(kind) +
                  ",\"facts\":{" + facts + "}}";
        for (const auto &t : tensors) tensor(key + ":" + t.place, t);
    }

    // A value that crosses a border: a duration, a mel, a token, a wave.
    template <class T> void value(const std::string &key, const T *x, std::vector<std::int64_t> shape) {
        unit(key, "value", {Tensor("out", x, std::move(shape))}, "", "value");
    }

    // A layer's "weight" or "bias", from which its fingerprint is made: needed where names are your own.
    void weights(const std::string &path, const std::string &role, const float *x, std::vector<std::int64_t> shape) {
        tensor(path + ":" + role, Tensor(role, x, std::move(shape)));
    }

    void write(const std::string &path) const {
        const std::string told = "{\"format\":\"portavoz-trace\",\"version\":2,\"producer\":" + quoted(producer_) +
                                 ",\"units\":[" + units_ + "]}";
        const std::string head = "{\"__metadata__\":{\"portavoz.trace\":" + quoted(told) + "}" + index_ + "}";
        std::ofstream out(path, std::ios::binary);
        for (int i = 0; i < 8; i++) out.put(static_cast<char>(static_cast<std::uint64_t>(head.size()) >> (8 * i)));
        out << head << body_;              // numbers as they lie in memory: little-endian machines only
        if (!out.flush()) throw std::runtime_error("cannot write " + path);
    }

private:
    std::string producer_, units_, index_, body_;

    void tensor(const std::string &name, const Tensor &t) {
        std::string shape;
        for (auto n : t.shape) shape += (shape.empty() ? "" : ",") + std::to_string(n);
        index_ += "," + quoted(name) + ":{\"dtype\":\"" + t.dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":[" +
                  std::to_string(body_.size()) + "," + std::to_string(body_.size() + t.bytes.size()) + "]}";
        body_ += t.bytes;
    }

    static std::string quoted(const std::string &text) {
        std::string out = "\"";
        for (char c : text) {
            if (c == '"' || c == '\\') out += '\\';
            out += c;
        }
        return out + "\"";
    }
};

}  // namespace portavoz
