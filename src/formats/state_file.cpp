#include "src/formats/state_file.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <span>
#include <string_view>
#include <utility>

#include <zstd.h>
#include <zstd_errors.h>

#include "krait/error.h"
#include "krait/tensor.h"
#include "src/base/file.h"
#include "src/base/hash.h"
#include "src/base/json.h"
#include "src/base/output_file.h"
#include "src/formats/byte_cursor.h"

namespace krait {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic = "\x93krait\r\n";
constexpr uint32_t kVersion = 2;
constexpr int kCompressionLevel = 1;  // mantissas are noise: higher levels gain little
constexpr size_t kMaxNameBytes = 4096;
constexpr uint64_t kMaxIds = uint64_t{1} << 28;
constexpr uint64_t kMaxNotesBytes = uint64_t{1} << 30;

std::string hex(uint64_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(16, '0');
  for (size_t i = 16; i-- > 0; value >>= 4) text[i] = kDigits[value & 15];
  return text;
}

int64_t plane_elements(const StateLayout& layout) {
  int64_t count = 0;
  for (const StatePlane& plane : layout.planes()) count += plane.elements();
  return count;
}

size_t body_bytes(const StateLayout& layout, DType planes, uint64_t logits) {
  return static_cast<size_t>(plane_elements(layout) * dtype_info(planes).block_bytes) +
         logits * sizeof(float);
}

// A matrix of bytes [rows, cols], transposed. A number's first bytes next to one another, then its
// second ones, …, compress where sign and exponent are; mantissas, which do not, stay out of the
// way.
std::string transposed(std::string_view bytes, size_t rows, size_t cols) {
  std::string out(rows * cols, '\0');
  for (size_t c = 0; c < cols; ++c)
    for (size_t r = 0; r < rows; ++r) out[c * rows + r] = bytes[r * cols + c];
  return out;
}

// ---- writing --------------------------------------------------------------------------------

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_text(std::string& out, std::string_view text) {
  put(out, uint64_t{text.size()});
  out += text;
}

template <class T>
void put_all(std::string& out, std::span<const T> values) {
  out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

// The planes without the gaps between them, and the logits, by places of bytes.
std::string body_of(const SequenceState& state, const StateLayout& layout, DType planes) {
  std::string numbers;
  numbers.reserve(body_bytes(layout, planes, 0));
  for (const StatePlane& plane : layout.planes()) {
    const auto values = std::span(state.planes).subspan(plane.offset, plane.elements());
    if (planes == DType::f32) {
      put_all(numbers, values);
    } else {
      for (const float value : values) put(numbers, bf16_from_f32(value));
    }
  }
  std::string logits;
  put_all(logits, std::span(state.logits));
  return transposed(numbers, plane_elements(layout), dtype_info(planes).block_bytes) +
         transposed(logits, state.logits.size(), sizeof(float));
}

void require_memory(size_t result) {
  if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) throw std::bad_alloc();
}

std::string compressed(const std::string& body) {
  std::string frame(ZSTD_compressBound(body.size()), '\0');
  const size_t size =
      ZSTD_compress(frame.data(), frame.size(), body.data(), body.size(), kCompressionLevel);
  require_memory(size);
  if (ZSTD_isError(size))
    throw Failure(std::string("zstd cannot compress the state: ") + ZSTD_getErrorName(size));
  frame.resize(size);
  return frame;
}

// Everything before the checksum.
std::string file_of(const StateModel& model, const SavedState& saved, DType planes) {
  const SequenceState& state = *saved.snapshot;
  std::string out(kMagic);
  put(out, kVersion);
  put(out, model.fingerprint);
  put_text(out, std::string_view(model.name).substr(0, kMaxNameBytes));
  put(out, static_cast<uint8_t>(saved.weights));
  put(out, static_cast<uint8_t>(planes));
  put(out, saved.seed);
  put(out, saved.sequence);
  put(out, static_cast<uint64_t>(state.position));
  put(out, static_cast<uint32_t>(model.layout.planes().size()));
  for (const StatePlane& plane : model.layout.planes()) {
    put(out, static_cast<uint32_t>(plane.layer));
    put_text(out, plane.name);
    put(out, static_cast<uint64_t>(plane.rows));
    put(out, static_cast<uint64_t>(plane.cols));
  }
  put(out, uint64_t{state.ids.size()});
  put_all(out, std::span(state.ids));
  put(out, static_cast<uint32_t>(state.logits.size()));
  put_text(out, compressed(body_of(state, model.layout, planes)));
  put_text(out, saved.notes);
  return out;
}

// ---- reading --------------------------------------------------------------------------------

class Reader {
 public:
  Reader(std::string_view file, const std::string& path, const StateModel& model)
      : file_(file), path_(path), model_(model), cursor_(checked(), path_) {}

  SavedState read() {
    cursor_.bytes(kMagic.size() + sizeof kVersion, "the beginning");
    require_model();
    SavedState saved;
    saved.weights = dtype("the type of the weights");
    const DType planes = dtype("the type of the planes");
    if (planes != DType::f32 && planes != DType::bf16)
      refuse("the type of the planes", dtype_name(planes), "f32 or bf16");
    saved.seed = cursor_.number<uint64_t>("the seed");
    saved.sequence = cursor_.number<uint64_t>("the sequence");
    SequenceState state;
    state.position = position();
    require_layout();
    read_ids(state);
    const uint32_t logits = logit_count(state);
    read_payload(planes, logits, state);
    saved.notes = notes();
    if (cursor_.remaining() > 0)
      refuse("the end", std::to_string(cursor_.remaining()) + " more bytes", "the checksum");
    saved.snapshot = std::make_shared<const SequenceState>(std::move(state));
    return saved;
  }

 private:
  [[noreturn]] void refuse(std::string_view field, std::string_view found,
                           std::string_view expected) const {
    throw InputError(path_ + ": " + std::string(field) + ": found " + std::string(found) +
                     "; expected " + std::string(expected));
  }

  void require(std::string_view field, uint64_t found, uint64_t expected) const {
    if (found != expected) refuse(field, std::to_string(found), std::to_string(expected));
  }

  // The file without its checksum, which holds.
  std::span<const std::byte> checked() const {
    if (!file_.starts_with(kMagic))
      refuse("the first bytes", quote(file_.substr(0, kMagic.size())),
             "those of a state saved by krait");
    const auto bytes = std::as_bytes(std::span(file_));
    uint32_t version = 0;
    uint64_t stored = 0;
    if (bytes.size() < kMagic.size() + sizeof version + sizeof stored)
      refuse("the length", std::to_string(bytes.size()) + " bytes", "a whole state");
    std::memcpy(&version, bytes.data() + kMagic.size(), sizeof version);
    require("the version of the format", version, kVersion);
    const auto content = bytes.first(bytes.size() - sizeof stored);
    std::memcpy(&stored, bytes.data() + content.size(), sizeof stored);
    if (const uint64_t sum = hash_of(content); stored != sum)
      refuse("the checksum", hex(stored), hex(sum) + "; the file is damaged or was cut short");
    return content;
  }

  void require_model() {
    const auto fingerprint = cursor_.number<uint64_t>("the model's fingerprint");
    const auto length = cursor_.number<uint64_t>("the model's name");
    if (length > kMaxNameBytes)
      refuse("the model's name", std::to_string(length) + " bytes",
             "at most " + std::to_string(kMaxNameBytes));
    const auto name = cursor_.bytes(length, "the model's name");
    if (fingerprint == model_.fingerprint) return;
    refuse("the model",
           quote({reinterpret_cast<const char*>(name.data()), name.size()}) + ", fingerprint " +
               hex(fingerprint),
           quote(model_.name) + ", fingerprint " + hex(model_.fingerprint));
  }

  DType dtype(const std::string& field) {
    const auto value = cursor_.number<uint8_t>(field);
    if (value >= kDTypeCount)
      refuse(field, std::to_string(value), "a number below " + std::to_string(kDTypeCount));
    return static_cast<DType>(value);
  }

  int64_t position() {
    const auto value = cursor_.number<uint64_t>("the position");
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      refuse("the position", std::to_string(value), "less than 2^63");
    return static_cast<int64_t>(value);
  }

  void require_layout() {
    const auto& planes = model_.layout.planes();
    require("the count of planes", cursor_.number<uint32_t>("the count of planes"), planes.size());
    for (size_t i = 0; i < planes.size(); ++i) {
      const std::string field = "plane " + std::to_string(i);
      require(field + ", layer", cursor_.number<uint32_t>(field), planes[i].layer);
      if (const auto name = cursor_.text(field + ", name"); name != planes[i].name)
        refuse(field + ", name", quote(name), quote(planes[i].name));
      require(field + ", rows", cursor_.number<uint64_t>(field), planes[i].rows);
      require(field + ", columns", cursor_.number<uint64_t>(field), planes[i].cols);
    }
  }

  void read_ids(SequenceState& state) {
    const auto count = cursor_.number<uint64_t>("the count of ids");
    if (count != 0 && count != static_cast<uint64_t>(state.position))
      refuse("the count of ids", std::to_string(count),
             "0 or the position, " + std::to_string(state.position));
    if (count > kMaxIds)
      refuse("the count of ids", std::to_string(count), "at most " + std::to_string(kMaxIds));
    const auto bytes = cursor_.bytes(count * sizeof(int32_t), "the ids");
    state.ids.resize(count);
    if (count > 0) std::memcpy(state.ids.data(), bytes.data(), bytes.size());
    for (const int32_t id : state.ids)
      if (id < 0 || id >= model_.embedding_rows)
        refuse("an id", std::to_string(id), "0 to " + std::to_string(model_.embedding_rows - 1));
  }

  uint32_t logit_count(const SequenceState& state) {
    const auto count = cursor_.number<uint32_t>("the count of logits");
    if (count != 0) require("the count of logits", count, model_.embedding_rows);
    if (count != 0 && state.position == 0)
      refuse("the count of logits", std::to_string(count), "0 at the position 0");
    return count;
  }

  std::string notes() {
    const auto bytes = cursor_.bytes(cursor_.number<uint64_t>("the notes"), "the notes");
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  void read_payload(DType planes, uint32_t logits, SequenceState& state) {
    const auto frame = cursor_.bytes(cursor_.number<uint64_t>("the payload"), "the payload");
    const size_t wanted = body_bytes(model_.layout, planes, logits);
    // Both numbers are the frame's own word; the decoder holds it to the first one.
    const unsigned long long declared = ZSTD_getFrameContentSize(frame.data(), frame.size());
    if (declared != wanted)
      refuse("the payload",
             declared >= ZSTD_CONTENTSIZE_ERROR ? "no zstd frame of a known size"
                                                : std::to_string(declared) + " bytes in a frame",
             std::to_string(wanted));
    if (ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size())
      refuse("the payload", std::to_string(frame.size()) + " bytes", "exactly one zstd frame");
    std::string body(wanted, '\0');
    const size_t got = ZSTD_decompress(body.data(), body.size(), frame.data(), frame.size());
    require_memory(got);
    if (ZSTD_isError(got)) refuse("the payload", ZSTD_getErrorName(got), "a sound zstd frame");
    require("the payload", got, wanted);
    const size_t split = wanted - logits * sizeof(float);
    unpack(std::string_view(body).substr(0, split), planes, state);
    const std::string values =
        transposed(std::string_view(body).substr(split), sizeof(float), logits);
    state.logits.resize(logits);
    if (logits > 0) std::memcpy(state.logits.data(), values.data(), values.size());
    require_finite("the logits", state.logits);
  }

  void unpack(std::string_view body, DType planes, SequenceState& state) const {
    const size_t element = static_cast<size_t>(dtype_info(planes).block_bytes);
    const std::string numbers = transposed(body, element, plane_elements(model_.layout));
    auto rest = std::as_bytes(std::span(numbers));
    state.planes.resize(model_.layout.floats_per_slot());
    for (const StatePlane& plane : model_.layout.planes()) {
      const Tensor values{planes, {plane.elements()}, rest.first(plane.elements() * element)};
      float* out = state.planes.data() + plane.offset;
      copy_to_f32(values, 0, plane.elements(), out, path_);
      require_finite("plane " + plane.name + " of layer " + std::to_string(plane.layer),
                     {out, static_cast<size_t>(plane.elements())});
      rest = rest.subspan(plane.elements() * element);
    }
  }

  void require_finite(const std::string& field, std::span<const float> values) const {
    for (size_t i = 0; i < values.size(); ++i)
      if (!std::isfinite(values[i]))
        refuse(field, std::to_string(values[i]) + " at " + std::to_string(i), "finite numbers");
  }

  std::string_view file_;
  const std::string& path_;
  const StateModel& model_;
  ByteCursor cursor_;
};

// What no state of the model exceeds.
size_t largest_file(const StateModel& model) {
  constexpr size_t kPlaneBytes = 128;  // in the layout
  return kMaxNameBytes + 1024 + kPlaneBytes * model.layout.planes().size() +
         kMaxIds * sizeof(int32_t) + kMaxNotesBytes +
         ZSTD_compressBound(body_bytes(model.layout, DType::f32, model.embedding_rows));
}

}  // namespace

void write_state_file(const std::string& path, const StateModel& model, const SavedState& state,
                      DType planes) {
  KRAIT_CHECK(planes == DType::f32 || planes == DType::bf16);
  KRAIT_CHECK(static_cast<int64_t>(state.snapshot->planes.size()) ==
              model.layout.floats_per_slot());
  if (state.snapshot->ids.size() > kMaxIds)
    throw InputError("cannot write " + path + ": the sequence has " +
                     std::to_string(state.snapshot->ids.size()) + " tokens; a state file holds " +
                     std::to_string(kMaxIds));
  if (state.notes.size() > kMaxNotesBytes)
    throw InputError("cannot write " + path + ": the conversation takes " +
                     std::to_string(state.notes.size()) + " bytes; a state file holds " +
                     std::to_string(kMaxNotesBytes));
  OutputFile file(path);
  const std::string content = file_of(model, state, planes);
  const uint64_t checksum = hash_of(std::as_bytes(std::span(content)));
  file.write(content.data(), content.size());
  file.write(&checksum, sizeof checksum);
  file.commit_durably();
}

SavedState read_state_file(const std::string& path, const StateModel& model) {
  return parse_state_file(read_text_file(path, largest_file(model)), path, model);
}

SavedState parse_state_file(std::string_view file, const std::string& path,
                            const StateModel& model) {
  return Reader(file, path, model).read();
}

}  // namespace krait
