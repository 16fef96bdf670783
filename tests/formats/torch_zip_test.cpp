// The ZIP container, rule by rule.
#include <limits>
#include <string>

#include "krait/error.h"
#include "src/formats/zip.h"
#include "tests/formats/safetensors_bytes.h"
#include "tests/formats/torch_bytes.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using test::as_bytes;
using test::patched;
using test::u16;
using test::u32;
using test::u64;
using test::zip;
using test::ZipPart;
using testing::AllOf;
using testing::HasSubstr;

constexpr uint32_t kWide = std::numeric_limits<uint32_t>::max();

std::string data_of(const ZipMember& member) {
  return {reinterpret_cast<const char*>(member.data.data()), member.data.size()};
}

std::string refusal(const std::string& file) {
  const std::string message =
      test::message_of<InputError>([&] { parse_zip(as_bytes(file), "x.bin"); });
  EXPECT_THAT(message, testing::StartsWith("x.bin: ZIP archive: "));
  return message;
}

std::string two_members() { return zip({{"b/1", "one"}, {"a", "four"}}); }

TEST(Zip, ReadsStoredMembersInPlace) {
  const std::string file = two_members();
  const auto members = parse_zip(as_bytes(file), "x");
  ASSERT_EQ(members.size(), 2);
  EXPECT_EQ(members[0].name, "a");
  EXPECT_EQ(data_of(members[0]), "four");
  EXPECT_EQ(members[1].name, "b/1");
  EXPECT_EQ(data_of(members[1]), "one");
  EXPECT_GE(members[0].data.data(), as_bytes(file).data());
}

TEST(Zip, FindsTheDataThroughTheExtraFieldOfTheLocalHeader) {
  const std::string file = zip({{.name = "a",
                                 .data = "data",
                                 .local_extra = "FB" + u16(3) + "ZZZ",
                                 .central_extra = "XY" + u16(5) + "12345"}});
  EXPECT_EQ(data_of(parse_zip(as_bytes(file), "x")[0]), "data");
}

TEST(Zip, ReadsZip64EndRecordsAndFields) {
  const std::string extra = "XY" + u16(1) + "1" + u16(1) + u16(24) + u64(4) + u64(4) + u64(0);
  const std::string file = zip({{.name = "a",
                                 .data = "data",
                                 .central_extra = extra,
                                 .packed = kWide,
                                 .size = kWide,
                                 .offset = kWide},
                                {"b", "more"}},
                               true);
  const auto members = parse_zip(as_bytes(file), "x");
  ASSERT_EQ(members.size(), 2);
  EXPECT_EQ(data_of(members[0]), "data");
  EXPECT_EQ(data_of(members[1]), "more");
}

TEST(Zip, ReadsAnArchiveWithoutMembers) { EXPECT_TRUE(parse_zip(as_bytes(zip({})), "x").empty()); }

TEST(Zip, RefusesAFileWithoutEndRecord) {
  EXPECT_THAT(refusal("PK"), HasSubstr("no end-of-central-directory record"));
  EXPECT_THAT(refusal(two_members() + "x"), HasSubstr("no end-of-central-directory record"));
}

TEST(Zip, RefusesAComment) {
  EXPECT_THAT(refusal(patched(two_members(), -2, u16(9))), HasSubstr("comment of 9 bytes"));
}

TEST(Zip, RefusesOneOfSeveralDisks) {
  EXPECT_THAT(refusal(patched(two_members(), -18, u16(1))), HasSubstr("several disks"));
  EXPECT_THAT(refusal(patched(two_members(), -14, u16(1))), HasSubstr("several disks"));
  EXPECT_THAT(refusal(patched(zip({{"a", "b"}}, true), -38, u32(1))), HasSubstr("several disks"));
  EXPECT_THAT(refusal(patched(zip({{"a", "b"}}, true), -26, u32(2))), HasSubstr("several disks"));
}

TEST(Zip, RefusesACentralDirectoryThatDoesNotEndAtTheEndRecord) {
  EXPECT_THAT(refusal(patched(two_members(), -10, u32(1000))), HasSubstr("central directory lies"));
  EXPECT_THAT(refusal(patched(two_members(), -6, u32(0))), HasSubstr("central directory lies"));
}

TEST(Zip, RefusesMoreMembersThanTheDirectoryHasRoomFor) {
  EXPECT_THAT(refusal(patched(two_members(), -14, u16(60000) + u16(60000))),
              HasSubstr("counts 60000 members in a central directory of"));
}

TEST(Zip, RefusesACountOf2To60WithoutAllocation) {
  const std::string file = zip({{"a", "b"}}, true);
  const std::string count = u64(uint64_t{1} << 60);
  EXPECT_THAT(refusal(patched(file, -98 + 24, count + count)),
              HasSubstr("counts 1152921504606846976 members"));
}

TEST(Zip, RefusesBytesAfterTheLastCentralHeader) {
  EXPECT_THAT(refusal(patched(two_members(), -14, u16(1) + u16(1))),
              HasSubstr("bytes follow the 1 members"));
}

TEST(Zip, RefusesAZip64LocatorThatPointsElsewhere) {
  const std::string file = zip({{"a", "b"}}, true);
  EXPECT_THAT(refusal(patched(file, -34, u64(0))), HasSubstr("no ZIP64 end record at 0"));
  EXPECT_THAT(refusal(patched(file, -34, u64(~uint64_t{0}))), HasSubstr("no ZIP64 end record"));
}

TEST(Zip, RefusesAZip64EndRecordOfAnotherSize) {
  EXPECT_THAT(refusal(patched(zip({{"a", "b"}}, true), -94, u64(45))),
              HasSubstr("has 45 bytes; expected 44"));
}

TEST(Zip, RefusesAZip64DirectoryThatOverflows) {
  EXPECT_THAT(refusal(patched(zip({{"a", "b"}}, true), -98 + 40, u64(~uint64_t{0}))),
              HasSubstr("more than 64 bits"));
}

TEST(Zip, RefusesEndRecordsThatDisagree) {
  EXPECT_THAT(refusal(patched(zip({{"a", "b"}}, true), -14, u16(2) + u16(2))),
              HasSubstr("disagree"));
}

TEST(Zip, RefusesAMissingCentralHeader) {
  const std::string file = zip({{"a", "b"}});
  EXPECT_THAT(refusal(patched(file, -22 - 47, "XX")), HasSubstr("no central header at 32"));
}

TEST(Zip, RefusesACentralHeaderThatLeavesTheDirectory) {
  EXPECT_THAT(refusal(patched(zip({{"a", "b"}}), -22 - 47 + 28, u16(500))),
              HasSubstr("leaves the central directory"));
}

TEST(Zip, RefusesCompression) {
  EXPECT_THAT(refusal(zip({{.name = "a", .data = "b", .method = 8}})),
              AllOf(HasSubstr("\"a\""), HasSubstr("compressed (method 8)")));
  EXPECT_THAT(refusal(zip({{.name = "a", .data = "b", .local_method = 8}})),
              HasSubstr("compressed (method 8)"));
}

TEST(Zip, RefusesAPackedSizeOtherThanTheSize) {
  EXPECT_THAT(refusal(zip({{.name = "a", .data = "bb", .packed = 1}})),
              HasSubstr("has 1 bytes in the archive and 2 outside"));
}

TEST(Zip, RefusesEncryption) {
  for (const uint16_t flags : {uint16_t{1}, uint16_t{0x40}, uint16_t{0x2000}})
    EXPECT_THAT(refusal(zip({{.name = "a", .data = "b", .flags = flags}})),
                HasSubstr("\"a\" is encrypted"));
}

TEST(Zip, RefusesALocalNameOtherThanTheCentralOne) {
  EXPECT_THAT(refusal(zip({{.name = "a", .data = "x", .local_name = "b"}})),
              HasSubstr("member \"a\" is called \"b\" in its local header"));
}

TEST(Zip, RefusesNamesThatLeaveTheArchive) {
  for (const std::string name : {"", "/a", "../a", "a/../b", "a/..", "./a", "a//b", "a\\b"})
    EXPECT_THAT(refusal(zip({{name, "x"}})), HasSubstr("expected a path inside")) << name;
  EXPECT_THAT(refusal(zip({{std::string("a\0b", 3), "x"}})), HasSubstr("expected a path inside"));
  const std::string folder = zip({{"a/", ""}, {"a/..b", ""}});
  EXPECT_EQ(parse_zip(as_bytes(folder), "x").size(), 2);
}

TEST(Zip, RefusesDuplicateNames) {
  EXPECT_THAT(refusal(zip({{"a", "1"}, {"b", "2"}, {"a", "3"}})),
              HasSubstr("two members are called \"a\""));
}

TEST(Zip, RefusesMembersThatOverlap) {
  const std::string inner = test::local_header({"b", "hidden"}) + "hidden";
  EXPECT_THAT(refusal(zip({{"a", inner}, {.name = "b", .data = "hidden", .offset = 31}})),
              HasSubstr("members \"a\" and \"b\" overlap"));
}

TEST(Zip, RefusesALocalHeaderThatIsNotThere) {
  EXPECT_THAT(refusal(zip({{.name = "a", .data = "b", .offset = 1}})),
              HasSubstr("no local header at 1"));
  EXPECT_THAT(refusal(zip({{.name = "a", .data = "b", .offset = kWide - 1}})),
              HasSubstr("no local header at 4294967294"));
}

TEST(Zip, RefusesDataThatReachIntoTheDirectory) {
  EXPECT_THAT(refusal(zip({{.name = "a", .data = "b", .size = 2}})),
              HasSubstr("2 bytes at 31 reach into the central directory at 32"));
}

TEST(Zip, RefusesMissingAndShortZip64Fields) {
  EXPECT_THAT(refusal(zip({{.name = "a", .data = "b", .size = kWide}})),
              HasSubstr("needs a ZIP64 extra field; there is none"));
  EXPECT_THAT(
      refusal(zip(
          {{.name = "a", .data = "b", .central_extra = u16(1) + u16(8) + u64(1), .size = kWide}})),
      HasSubstr("has 8 bytes; expected at least 16"));
  EXPECT_THAT(
      refusal(zip(
          {{.name = "a", .data = "b", .central_extra = u16(1) + u16(99) + u64(1), .size = kWide}})),
      HasSubstr("an extra field leaves its header"));
}

TEST(Zip, RefusesASizeOf2To60) {
  const uint64_t size = uint64_t{1} << 60;
  EXPECT_THAT(refusal(zip({{.name = "a",
                            .data = "b",
                            .central_extra = u16(1) + u16(16) + u64(size) + u64(size),
                            .size = kWide}})),
              HasSubstr("1152921504606846976 bytes at 31 reach into"));
}

}  // namespace
}  // namespace krait
