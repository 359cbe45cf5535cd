// A writer of portavoz traces for Swift. `array(_:)` at the end is for MLX Swift; the rest needs Foundation only.
//
//   let trace = Trace(producer: "my port")
//   trace.unit("decoder.q#0", op: "linear", inputs: [array(x)], outputs: [array(y)])
//   trace.unit("decoder.norm#0", op: "layer_norm", inputs: […], outputs: […], facts: ["eps": 1e-5])
//   trace.value("mel#0", array(mel))
//   try trace.write(to: URL(fileURLWithPath: "port.trace"))
//
// Numbers are Float32 in C order, channels last. Each call of a layer has the next number behind '#'.
import Foundation

public struct Numbers {
    public let shape: [Int]
    public let dtype: String
    public let bytes: Data

    public init(_ values: [Float], shape: [Int]) {
        precondition(values.count == shape.reduce(1, *), "the shape does not hold these numbers")
        self.shape = shape
        self.dtype = "F32"
        self.bytes = values.withUnsafeBufferPointer { Data(buffer: $0) }
    }

    public init(_ values: [Int64], shape: [Int]) {
        precondition(values.count == shape.reduce(1, *), "the shape does not hold these numbers")
        self.shape = shape
        self.dtype = "I64"
        self.bytes = values.withUnsafeBufferPointer { Data(buffer: $0) }
    }
}

public final class Trace {
    private let producer: String
    private var units: [[String: Any]] = []
    private var index: [String: Any] = [:]
    private var body = Data()

    public init(producer: String) {
        self.producer = producer
    }

    /// One call of an operation, in the order in which they run.
    public func unit(
        _ key: String, op: String, inputs: [Numbers], outputs: [Numbers],
        facts: [String: Any] = [:], kind: String = "leaf"
    ) {
        units.append(["key": key, "op": op, "kind": kind, "facts": facts])
        for (i, numbers) in inputs.enumerated() {
            tensor("\(key):in\(i)", numbers)
        }
        for (i, numbers) in outputs.enumerated() {
            tensor(i == 0 ? "\(key):out" : "\(key):out.\(i)", numbers)
        }
    }

    /// A value that crosses a border: a duration, a mel, a token, a wave.
    public func value(_ key: String, _ numbers: Numbers) {
        unit(key, op: "value", inputs: [], outputs: [numbers], kind: "value")
    }

    /// A layer's "weight" or "bias", from which its fingerprint is made: needed where names are your own.
    public func weights(_ path: String, role: String, _ numbers: Numbers) {
        tensor("\(path):\(role)", numbers)
    }

    public func write(to url: URL) throws {
        let told: [String: Any] = [
            "format": "portavoz-trace", "version": 2, "producer": producer, "units": units,
        ]
        let text = String(decoding: try JSONSerialization.data(withJSONObject: told), as: UTF8.self)
        var header = index
        header["__metadata__"] = ["portavoz.trace": text]
        let head = try JSONSerialization.data(withJSONObject: header)
        var file = Data()
        withUnsafeBytes(of: UInt64(head.count).littleEndian) { file.append(contentsOf: $0) }
        file.append(head)
        file.append(body)
        try file.write(to: url, options: .atomic)
    }

    private func tensor(_ name: String, _ numbers: Numbers) {
        precondition(index[name] == nil, "\(name) is there already: a call that repeats has the next number behind '#'")
        index[name] = [
            "dtype": numbers.dtype, "shape": numbers.shape,
            "data_offsets": [body.count, body.count + numbers.bytes.count],
        ]
        body.append(numbers.bytes)
    }
}

#if canImport(MLX)
import MLX

/// What an MLX array holds, worked out now.
public func array(_ x: MLXArray) -> Numbers {
    if x.dtype == .int32 || x.dtype == .int64 || x.dtype == .uint32 {
        return Numbers(x.asType(.int64).asArray(Int64.self), shape: x.shape)
    }
    return Numbers(x.asType(.float32).asArray(Float.self), shape: x.shape)
}
#endif
