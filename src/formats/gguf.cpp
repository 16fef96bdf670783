#include "src/formats/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>

#include "krait/error.h"
#include "src/base/json.h"
#include "src/formats/byte_cursor.h"
#include "src/formats/gguf_metadata.h"

namespace krait {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint32_t kMagic = 0x46554747;                  // "GGUF"
constexpr size_t kLeastPairBytes = 8 + 1 + 4 + 1;        // key, type, value
constexpr size_t kLeastTensorBytes = 8 + 1 + 4 + 4 + 8;  // name, rank, type, offset
constexpr size_t kMaxNameBytes = 63;
constexpr uint32_t kMaxRank = 4;
constexpr uint32_t kDefaultAlignment = 32;

struct StoredType {
  uint32_t id;
  std::string_view name;
  int64_t block_elements, block_bytes;
};

struct ReadType {
  uint32_t id;
  DType dtype;
};

constexpr std::array<ReadType, 18> kReadTypes = {{
    {0, DType::f32},
    {1, DType::f16},
    {2, DType::q4_0},
    {3, DType::q4_1},
    {6, DType::q5_0},
    {7, DType::q5_1},
    {8, DType::q8_0},
    {10, DType::q2_k},
    {11, DType::q3_k},
    {12, DType::q4_k},
    {13, DType::q5_k},
    {14, DType::q6_k},
    {24, DType::i8},
    {25, DType::i16},
    {26, DType::i32},
    {27, DType::i64},
    {28, DType::f64},
    {30, DType::bf16},
}};

// 4, 5, 31 to 33 and 36 to 38 have been removed from the format.
constexpr std::array<StoredType, 16> kUnreadTypes = {{
    {9, "Q8_1", 32, 36},
    {15, "Q8_K", 256, 292},
    {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98},
    {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},
    {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136},
    {29, "IQ1_M", 256, 56},
    {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},
    {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},
    {41, "Q1_0", 128, 18},
}};

class GgufParser {
 public:
  GgufParser(std::span<const std::byte> file, const std::string& source)
      : file_(file), cursor_(file, source) {}

  GgufContents parse() {
    read_header();
    contents_.metadata = read_gguf_metadata(cursor_, pairs_);
    require_architecture();
    refuse_split();
    read_alignment();
    for (uint64_t i = 0; i < tensors_; ++i) read_tensor();
    locate_data();
    std::sort(contents_.tensors.begin(), contents_.tensors.end(),
              [](const GgufEntry& a, const GgufEntry& b) { return a.name < b.name; });
    return std::move(contents_);
  }

 private:
  struct Extent {
    uint64_t offset, bytes;
  };

  void read_header();
  void require_architecture() const;
  void refuse_split() const;
  void read_alignment();
  void read_tensor();
  Shape read_shape(const std::string& where);
  uint64_t set_type(uint32_t id, GgufEntry& entry, const std::string& where) const;
  void locate_data();
  uint64_t padded(uint64_t size) const { return (size + alignment_ - 1) / alignment_ * alignment_; }

  std::span<const std::byte> file_;
  ByteCursor cursor_;
  uint64_t tensors_ = 0, pairs_ = 0;
  uint64_t alignment_ = kDefaultAlignment;
  GgufContents contents_;
  std::vector<Extent> extents_;  // of contents_.tensors, in file order
  std::set<std::string> names_;
};

void GgufParser::read_header() {
  if (cursor_.number<uint32_t>("the magic number") != kMagic)
    cursor_.fail("does not begin with \"GGUF\": it is no GGUF file");
  const auto version = cursor_.number<uint32_t>("the version");
  if ((version & 0xffffu) == 0)
    cursor_.fail("version is " + std::to_string(version) +
                 (version == 0 ? "" : ", which looks like a big-endian file") +
                 "; expected 2 or 3");
  if (version != 2 && version != 3)
    cursor_.fail("version is " + std::to_string(version) + "; expected 2 or 3");
  tensors_ = cursor_.number<uint64_t>("the number of tensors");
  pairs_ = cursor_.number<uint64_t>("the number of metadata keys");
  const size_t rest = cursor_.remaining();
  if (tensors_ > rest / kLeastTensorBytes)
    cursor_.fail("claims " + std::to_string(tensors_) + " tensors, more than its " +
                 std::to_string(rest) + " bytes after the header can describe");
  if (pairs_ > rest / kLeastPairBytes)
    cursor_.fail("claims " + std::to_string(pairs_) + " metadata keys, more than its " +
                 std::to_string(rest) + " bytes after the header can hold");
}

void GgufParser::require_architecture() const {
  const auto found = contents_.metadata.find("general.architecture");
  if (found == contents_.metadata.end())
    cursor_.fail("there is no metadata key general.architecture");
  if (!found->is_string())
    cursor_.fail(std::string("general.architecture is ") + found->type_name() +
                 "; expected a string");
}

// The parts of a split file are no models of their own.
void GgufParser::refuse_split() const {
  const auto count = contents_.metadata.find("split.count");
  if (count == contents_.metadata.end()) return;
  if (!count->is_number_integer())
    cursor_.fail("split.count is " + quote(count->dump()) + "; expected an integer");
  if (*count > 1)
    cursor_.fail("is one part of a split model: split.count is " + count->dump() +
                 "; expected a single file (llama-gguf-split --merge joins the parts)");
}

void GgufParser::read_alignment() {
  const auto found = contents_.metadata.find("general.alignment");
  if (found == contents_.metadata.end()) return;
  alignment_ = found->get<uint64_t>();  // a u32: read_gguf_metadata has seen to it
  if (!std::has_single_bit(alignment_) || alignment_ < 8)
    cursor_.fail("general.alignment is " + std::to_string(alignment_) +
                 "; expected a power of two of at least 8");
}

void GgufParser::read_tensor() {
  GgufEntry entry;
  entry.name = cursor_.text("the name of tensor " + std::to_string(extents_.size()));
  const std::string where = "tensor " + quote(entry.name);
  if (entry.name.empty() || entry.name.size() > kMaxNameBytes)
    cursor_.fail(where + " has a name of " + std::to_string(entry.name.size()) +
                 " bytes; expected 1 to " + std::to_string(kMaxNameBytes));
  if (!names_.insert(entry.name).second) cursor_.fail(where + " occurs twice");
  entry.tensor.shape = read_shape(where);
  const uint64_t bytes = set_type(cursor_.number<uint32_t>(where), entry, where);
  const auto offset = cursor_.number<uint64_t>(where);
  if (offset % alignment_ != 0)
    cursor_.fail(where + " has offset " + std::to_string(offset) + "; expected a multiple of " +
                 std::to_string(alignment_));
  extents_.push_back({offset, bytes});
  contents_.tensors.push_back(std::move(entry));
}

Shape GgufParser::read_shape(const std::string& where) {
  const auto rank = cursor_.number<uint32_t>(where);
  if (rank > kMaxRank)
    cursor_.fail(where + " has " + std::to_string(rank) + " dimensions; expected at most 4");
  Shape shape(rank);
  int64_t count = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    const auto size = cursor_.number<int64_t>(where);
    if (size < 1)
      cursor_.fail(where + " has a dimension of " + std::to_string(size) + "; expected at least 1");
    if (count > std::numeric_limits<int64_t>::max() / size)
      cursor_.fail(where + " has more elements than 64 bits can count");
    count *= size;
    shape[rank - 1 - i] = size;
  }
  return shape;
}

// Returns the bytes that the tensor takes.
uint64_t GgufParser::set_type(uint32_t id, GgufEntry& entry, const std::string& where) const {
  StoredType type{};
  const auto has_id = [&](const auto& t) { return t.id == id; };
  if (const auto read = std::find_if(kReadTypes.begin(), kReadTypes.end(), has_id);
      read != kReadTypes.end()) {
    const DTypeInfo& info = dtype_info(read->dtype);
    entry.tensor.dtype = read->dtype;
    type = {id, info.name, info.block_elements, info.block_bytes};
  } else if (const auto unread = std::find_if(kUnreadTypes.begin(), kUnreadTypes.end(), has_id);
             unread != kUnreadTypes.end()) {
    type = *unread;
    entry.unread_type = unread->name;
  } else {
    cursor_.fail(where + " has element type " + std::to_string(id) +
                 "; expected one that GGUF defines");
  }
  const Shape& shape = entry.tensor.shape;
  const int64_t row = shape.empty() ? 1 : shape.back();
  if (row % type.block_elements != 0)
    cursor_.fail(where + " of type " + std::string(type.name) + " has rows of " +
                 std::to_string(row) + " elements; expected a multiple of " +
                 std::to_string(type.block_elements));
  const int64_t blocks = element_count(shape) / type.block_elements;
  if (blocks > std::numeric_limits<int64_t>::max() / type.block_bytes)
    cursor_.fail(where + " has more bytes than 64 bits can count");
  return static_cast<uint64_t>(blocks * type.block_bytes);
}

// Every tensor begins where the one before ends, padded: no holes, no overlaps, none past the end.
void GgufParser::locate_data() {
  if (tensors_ == 0) return;
  const uint64_t start = padded(cursor_.position());
  if (start > file_.size())
    cursor_.fail("ends before the tensors' data, which begin at byte " + std::to_string(start));
  const uint64_t available = file_.size() - start;
  uint64_t expected = 0;
  for (size_t i = 0; i < extents_.size(); ++i) {
    const auto [offset, bytes] = extents_[i];
    const std::string& name = contents_.tensors[i].name;
    if (offset != expected)
      cursor_.fail("tensor " + quote(name) + " has offset " + std::to_string(offset) +
                   "; expected " + std::to_string(expected) + ", where the tensor before it ends");
    if (offset > available || bytes > available - offset)
      cursor_.fail("tensor " + quote(name) + " has " + std::to_string(bytes) + " bytes at offset " +
                   std::to_string(offset) + ", but the file has only " + std::to_string(available) +
                   " bytes of data");
    contents_.tensors[i].tensor.data = file_.subspan(start + offset, bytes);
    expected = padded(offset + bytes);
  }
}

}  // namespace

GgufContents parse_gguf(std::span<const std::byte> file, const std::string& source) {
  return GgufParser(file, source).parse();
}

}  // namespace krait
