// State files: what is written comes back, and nothing else is believed.
#include "src/formats/state_file.h"

#include <csignal>
#include <cstring>
#include <iterator>
#include <random>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "krait/error.h"
#include "src/base/hash.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using testing::AllOf;
using testing::HasSubstr;
namespace fs = std::filesystem;

class StateFile : public testing::Test {
 protected:
  StateFile() {
    layout_.add(0, "conv", 3, 10);  // 30 floats: a gap of two follows
    layout_.add(0, "ssm", 4, 10);
    layout_.add(1, "ssm", 2, 7);
  }

  static SavedState sample(const StateLayout& layout, uint32_t seed = 1) {
    std::mt19937 random(seed);
    SequenceState state;
    state.position = 40;
    for (int i = 0; i < 40; ++i) state.ids.push_back(static_cast<int32_t>(random() % 25));
    state.planes.resize(layout.floats_per_slot());
    const auto value = [&] { return static_cast<float>(random()) * 0x1p-30f - 2.0f; };
    for (const StatePlane& plane : layout.planes())
      for (int64_t i = 0; i < plane.elements(); ++i) state.planes[plane.offset + i] = value();
    for (int i = 0; i < 25; ++i) state.logits.push_back(value());
    return {std::make_shared<const SequenceState>(std::move(state)), 12, 3, DType::q8_0,
            "notes \x01"};
  }

  StateModel model() const { return {"tiny", 0x1234, 25, layout_}; }
  SavedState read(const std::string& bytes) {
    const std::vector<char> copy(bytes.begin(), bytes.end());  // a sanitizer sees where it ends
    return parse_state_file({copy.data(), copy.size()}, "read", model());
  }
  std::string refusal(const std::string& bytes) {
    return test::message_of<InputError>([&] { read(bytes); });
  }

  // The bytes that writing the state gives.
  std::string written(const SavedState& state, DType planes = DType::f32) {
    write_state_file(path_, model(), state, planes);
    return file();
  }
  std::string file() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_.path()), {}));
  }

  // With a checksum that holds again.
  static std::string signed_again(std::string bytes) {
    bytes.resize(bytes.size() - 8);
    const uint64_t sum = hash_of(std::as_bytes(std::span(bytes)));
    bytes.append(reinterpret_cast<const char*>(&sum), sizeof sum);
    return bytes;
  }
  template <class T>
  static std::string with(std::string bytes, size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
    return signed_again(std::move(bytes));
  }

  test::TempFolder folder_;
  std::string path_ = folder_.path("a.state");
  StateLayout layout_;
};

// Where the fields lie, by the format's description; the model's name has four bytes.
constexpr size_t kFingerprint = 12, kName = 20, kWeights = 32, kPlanes = 33, kPosition = 50,
                 kCount = 58, kLayer = 62, kPlaneName = 74, kRows = 78;

void expect_same(const SavedState& a, const SavedState& b) {
  EXPECT_EQ(a.snapshot->position, b.snapshot->position);
  EXPECT_EQ(a.snapshot->ids, b.snapshot->ids);
  EXPECT_EQ(a.snapshot->planes, b.snapshot->planes);
  EXPECT_EQ(a.snapshot->logits, b.snapshot->logits);
  EXPECT_EQ(a.seed, b.seed);
  EXPECT_EQ(a.sequence, b.sequence);
  EXPECT_EQ(a.weights, b.weights);
  EXPECT_EQ(a.notes, b.notes);
}

TEST_F(StateFile, WhatIsWrittenComesBack) {
  const SavedState state = sample(layout_);
  write_state_file(path_, model(), state, DType::f32);
  expect_same(read_state_file(path_, model()), state);
  EXPECT_EQ(files(), 1u);
}

TEST_F(StateFile, EmptyAndPartialSequencesComeBack) {
  SequenceState empty, no_ids = *sample(layout_).snapshot, no_logits = no_ids;
  empty.planes.resize(layout_.floats_per_slot());
  no_ids.ids.clear();
  no_logits.logits.clear();
  for (const SequenceState& state : {empty, no_ids, no_logits}) {
    const SavedState saved = {std::make_shared<const SequenceState>(state), 0, 0, DType::f32};
    expect_same(read(written(saved)), saved);
  }
}

TEST_F(StateFile, Bf16RoundsThePlanesOnly) {
  const SavedState state = sample(layout_);
  const std::string exact = written(state);
  const std::string rounded = written(state, DType::bf16);
  EXPECT_LT(rounded.size(), exact.size());
  const SavedState back = read(rounded);
  EXPECT_EQ(back.snapshot->logits, state.snapshot->logits);
  for (size_t i = 0; i < back.snapshot->planes.size(); ++i)
    EXPECT_EQ(back.snapshot->planes[i], f32_from_bf16(bf16_from_f32(state.snapshot->planes[i])));
}

TEST_F(StateFile, EveryTruncationAndEveryAdditionIsRefused) {
  const std::string bytes = written(sample(layout_));
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_THAT(refusal(bytes.substr(0, size)), HasSubstr("read: ")) << size;
  EXPECT_THAT(refusal(bytes + "x"), HasSubstr("damaged or was cut short"));
}

TEST_F(StateFile, EveryDamagedByteIsNoticed) {
  const std::string bytes = written(sample(layout_));
  std::mt19937 random(5);
  for (int round = 0; round < 5000; ++round) {
    std::string damaged = bytes;
    for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; --flips)
      damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
    if (damaged == bytes) continue;
    EXPECT_THROW(read(damaged), InputError);
  }
}

// As somebody would who knows the checksum: then what is read must still be sound, or refused.
TEST_F(StateFile, ForgedBytesAreReadOrRefused) {
  const std::string bytes = written(sample(layout_));
  std::mt19937 random(7);
  int accepted = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string forged = bytes;
    for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; --flips)
      forged[random() % forged.size()] = static_cast<char>(random() % 256);
    try {
      const SavedState state = read(signed_again(forged));
      ASSERT_EQ(state.snapshot->planes.size(), static_cast<size_t>(layout_.floats_per_slot()));
      for (const int32_t id : state.snapshot->ids) ASSERT_TRUE(id >= 0 && id < 25);
      ++accepted;
    } catch (const InputError& error) {
      ASSERT_LT(std::string(error.what()).size(), 1000u);
      ++refused;
    }
  }
  EXPECT_GT(accepted, 100);
  EXPECT_GT(refused, 1000);
}

TEST_F(StateFile, RefusalsNameFileFieldFoundAndExpected) {
  const std::string bytes = written(sample(layout_));
  EXPECT_THAT(refusal("PK"), HasSubstr("those of a state saved by krait"));
  EXPECT_THAT(refusal(with(bytes, 8, uint32_t{7})),
              HasSubstr("read: the version of the format: found 7; expected 2"));
  EXPECT_THAT(refusal(with(bytes, kFingerprint, uint64_t{0xabc})),
              HasSubstr("the model: found \"tiny\", fingerprint 0000000000000abc; expected "
                        "\"tiny\", fingerprint 0000000000001234"));
  EXPECT_THAT(refusal(with(bytes, kName, uint64_t{1} << 60)), HasSubstr("the model's name"));
  EXPECT_THAT(refusal(with(bytes, kWeights, uint8_t{200})), HasSubstr("the type of the weights"));
  EXPECT_THAT(refusal(with(bytes, kPlanes, uint8_t{1})),
              HasSubstr("the type of the planes: found f16; expected f32 or bf16"));
  EXPECT_THAT(refusal(with(bytes, kPosition, uint64_t{41})),
              HasSubstr("the count of ids: found 40; expected 0 or the position, 41"));
  EXPECT_THAT(refusal(with(bytes, kPosition, ~uint64_t{0})), HasSubstr("the position"));
  EXPECT_THAT(refusal(with(bytes, kCount, uint32_t{2})),
              HasSubstr("the count of planes: found 2; expected 3"));
  EXPECT_THAT(refusal(with(bytes, kLayer, uint32_t{1})),
              HasSubstr("plane 0, layer: found 1; expected 0"));
  EXPECT_THAT(refusal(with(bytes, kPlaneName, 'k')),
              HasSubstr("plane 0, name: found \"konv\"; expected \"conv\""));
  EXPECT_THAT(refusal(with(bytes, kRows, uint64_t{4})),
              HasSubstr("plane 0, rows: found 4; expected 3"));
}

TEST_F(StateFile, CountsAreCheckedBeforeMemoryIsTaken) {
  const std::string bytes = written(sample(layout_));
  size_t ids = kRows + 16;  // behind rows and columns of plane 0
  for (int plane = 1; plane < 3; ++plane) ids += 4 + 8 + 3 + 16;
  ASSERT_EQ(static_cast<uint8_t>(bytes[ids]), 40);
  std::string many = bytes;
  const uint64_t huge = uint64_t{1} << 61;  // times four: nothing
  std::memcpy(many.data() + kPosition, &huge, 8);
  EXPECT_THAT(refusal(with(many, ids, huge)), HasSubstr("the count of ids"));
  EXPECT_THAT(refusal(with(bytes, ids + 8, int32_t{-1})),
              HasSubstr("an id: found -1; expected 0 to 24"));
  EXPECT_THAT(refusal(with(bytes, ids + 8, int32_t{25})), HasSubstr("an id: found 25"));
  const size_t logits = ids + 8 + 40 * 4;
  EXPECT_THAT(refusal(with(bytes, logits, uint32_t{24})),
              HasSubstr("the count of logits: found 24; expected 25"));
  EXPECT_THAT(refusal(with(bytes, logits, uint32_t{0})), HasSubstr("the payload: found"));
  EXPECT_THAT(refusal(with(bytes, logits + 4, ~uint64_t{0})), HasSubstr("the payload"));
}

TEST_F(StateFile, AStateOfAnotherLayoutIsRefused) {
  const std::string bytes = written(sample(layout_));
  StateLayout other = layout_;
  other.add(1, "conv", 1, 1);
  const StateModel longer = {"other", 0x1234, 25, other};
  const std::string path = folder_.write("read", bytes);
  EXPECT_THAT(test::message_of<InputError>([&] { read_state_file(path, longer); }),
              HasSubstr("the count of planes: found 3; expected 4"));
}

TEST_F(StateFile, FilesThatCannotBeAState) {
  EXPECT_THAT(test::message_of<InputError>([&] { read_state_file(folder_.path("no"), model()); }),
              HasSubstr("No such file"));
  EXPECT_THAT(test::message_of<InputError>([&] { read_state_file(folder_.path(), model()); }),
              HasSubstr("a folder"));
  const std::string sparse = folder_.write("sparse", "");
  fs::resize_file(sparse, uint64_t{1} << 40);
  EXPECT_THAT(test::message_of<InputError>([&] { read_state_file(sparse, model()); }),
              HasSubstr("expected at most"));
}

TEST_F(StateFile, AFullDiskLeavesTheOldFile) {
  const std::string old = written(sample(layout_));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 100;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = test::message_of<Failure>(
      [&] { write_state_file(path_, model(), sample(layout_, 2), DType::f32); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(message, AllOf(HasSubstr("cannot write " + path_), HasSubstr("File too large")));
  EXPECT_EQ(file(), old);
  EXPECT_EQ(files(), 1u);
}

// A process that does nothing but save is killed at random moments.
TEST_F(StateFile, AKilledWriterLeavesTheOldOrTheNewFile) {
  const SavedState one = sample(layout_, 1), two = sample(layout_, 2);
  const std::string first = written(one), second = written(two);
  std::mt19937 random(3);
  for (int round = 0; round < 30; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0)
      for (;;) {
        write_state_file(path_, model(), one, DType::f32);
        write_state_file(path_, model(), two, DType::f32);
      }
    ::usleep(static_cast<useconds_t>(2000 + random() % 5000));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const std::string left = file();
    EXPECT_TRUE(left == first || left == second) << left.size() << " bytes";
  }
}

TEST_F(StateFile, NumbersThatAreNotFiniteAreRefusedByPlane) {
  for (const DType planes : {DType::f32, DType::bf16})
    for (const float wrong : {NAN, -INFINITY}) {
      SequenceState state = *sample(layout_).snapshot;
      const int64_t at = layout_.planes()[2].offset + 11;
      const auto refused = [&] {
        SavedState saved = sample(layout_);
        saved.snapshot = std::make_shared<const SequenceState>(state);
        return refusal(written(saved, planes));
      };
      state.planes[at] = wrong;
      EXPECT_EQ(refused(), "read: plane ssm of layer 1: found " + std::to_string(wrong) +
                               " at 11; expected finite numbers");
      state.planes[at] = 1;
      state.logits[24] = wrong;
      EXPECT_EQ(refused(), "read: the logits: found " + std::to_string(wrong) +
                               " at 24; expected finite numbers");
    }
}

}  // namespace
}  // namespace krait
