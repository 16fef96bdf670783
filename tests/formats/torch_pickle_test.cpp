// The pickle reader, rule by rule.
#include <string>

#include "krait/error.h"
#include "src/formats/pickle.h"
#include "tests/formats/safetensors_bytes.h"
#include "tests/formats/torch_bytes.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using test::as_bytes;
using test::call;
using test::global;
using test::integer;
using test::integers;
using test::pickle;
using test::storage;
using test::tensor;
using test::text;
using test::tuple;
using test::u32;
using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t k2To60 = int64_t{1} << 60;

// The pickle of `body`; refers to it.
Pickle parse(const std::string& bytes) { return parse_pickle(as_bytes(bytes), 0, "x.pkl"); }

template <class T>
T root_of(const std::string& body) {
  return std::get<T>(parse(pickle(body)).root);
}

std::string refused_bytes(const std::string& bytes) {
  const std::string message = test::message_of<InputError>([&] { parse(bytes); });
  EXPECT_THAT(message, testing::StartsWith("x.pkl: pickle byte "));
  return message;
}
std::string refusal(const std::string& body) { return refused_bytes(pickle(body)); }

TEST(Pickle, ReadsConstants) {
  EXPECT_NO_THROW(root_of<std::monostate>("N"));
  EXPECT_TRUE(root_of<bool>("\x88"));
  EXPECT_FALSE(root_of<bool>("\x89"));
  EXPECT_EQ(root_of<int64_t>("K\xff"), 255);
  EXPECT_EQ(root_of<int64_t>("M\xff\xff"), 65535);
  EXPECT_EQ(root_of<int64_t>("J\xfe\xff\xff\xff"), -2);
  EXPECT_EQ(root_of<int64_t>(integer(-k2To60)), -k2To60);
  EXPECT_EQ(root_of<int64_t>(std::string("\x8a\x00", 2)), 0);
  EXPECT_EQ(root_of<int64_t>("\x8a\x01\x80"), -128);
  EXPECT_EQ(root_of<int64_t>(std::string("\x8a\x02\x80\x00", 4)), 128);
  EXPECT_EQ(root_of<double>(std::string("G\xc0\x04\0\0\0\0\0\0", 9)), -2.5);
  const std::string bytes = pickle("U\x02hi");
  EXPECT_EQ(std::get<std::string_view>(parse(bytes).root), "hi");
}

TEST(Pickle, ReadsUtf8AndRefusesOtherBytes) {
  for (const char* good : {"", "a\x7f", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x8d"}) {
    const std::string bytes = pickle(text(good));
    EXPECT_EQ(std::get<std::string_view>(parse(bytes).root), good);
  }
  for (const char* bad : {"\x80", "\xff", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xf0\x8f\xbf\xbf", "\xc3(", "a\xe2\x82"})
    EXPECT_THAT(refusal(text(bad)), HasSubstr("is not UTF-8"));
}

TEST(Pickle, ReadsSequences) {
  const auto items = [](const std::string& body) {
    const Pickle read = parse(pickle(body));
    const std::vector<PickleValue>* list = nullptr;
    if (const auto* t = std::get_if<TupleRef>(&read.root)) list = &read.sequences[t->index];
    if (const auto* l = std::get_if<ListRef>(&read.root)) list = &read.sequences[l->index];
    if (const auto* d = std::get_if<DictRef>(&read.root)) list = &read.sequences[d->index];
    std::vector<int64_t> numbers;
    for (const PickleValue& item : *list) numbers.push_back(std::get<int64_t>(item));
    return numbers;
  };
  using testing::ElementsAre;
  EXPECT_THAT(items(")"), ElementsAre());
  EXPECT_THAT(items("K\1\x85"), ElementsAre(1));
  EXPECT_THAT(items("K\1K\2\x86"), ElementsAre(1, 2));
  EXPECT_THAT(items("K\1K\2K\3\x87"), ElementsAre(1, 2, 3));
  EXPECT_THAT(items("(K\1K\2K\3K\4t"), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(items("]K\1a(K\2K\3e"), ElementsAre(1, 2, 3));
  EXPECT_THAT(items("}K\1K\2s(K\3K\4u"), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(items(call(global("torch", "Size"), {integers({2, 3})})), ElementsAre(2, 3));
}

TEST(Pickle, RemembersObjects) {
  const std::string zero(1, '\0');
  const std::string bytes =
      pickle("(]q" + zero + "K\7r" + u32(1) + "aj" + u32(1) + "h" + zero + "t");
  const Pickle read = parse(bytes);
  const auto& items = read.sequences[std::get<TupleRef>(read.root).index];
  EXPECT_EQ(std::get<int64_t>(items[1]), 7);
  EXPECT_EQ(std::get<ListRef>(items[0]).index, std::get<ListRef>(items[2]).index);
  const auto& list = read.sequences[std::get<ListRef>(items[0]).index];
  EXPECT_EQ(std::get<int64_t>(list.at(0)), 7);
}

TEST(Pickle, ReadsAListThatHoldsItself) {
  const std::string zero(1, '\0');
  const std::string bytes = pickle("]q" + zero + "h" + zero + "a");
  EXPECT_EQ(parse(bytes).sequences.size(), 1);
}

TEST(Pickle, ReadsDeepNestingWithoutRecursion) {
  const std::string bytes = pickle(std::string(1'000'000, ']') + std::string(999'999, 'a'));
  EXPECT_EQ(parse(bytes).sequences.size(), 1'000'000);
}

TEST(Pickle, BeginsWhereItIsTold) {
  const std::string bytes = "junk" + pickle("K\5") + "rest";
  const Pickle read = parse_pickle(as_bytes(bytes), 4, "x");
  EXPECT_EQ(std::get<int64_t>(read.root), 5);
  EXPECT_EQ(read.end, 9);
}

TEST(PickleRefuses, AnotherProtocol) {
  EXPECT_THAT(refused_bytes("\x80\x04N."), HasSubstr("protocol 4; expected 2"));
  EXPECT_THAT(refused_bytes("N."), HasSubstr("does not begin with PROTO"));
}

TEST(PickleRefuses, OtherOpcodesByName) {
  for (const auto& [opcode, name] :
       std::vector<std::pair<char, std::string>>{{'o', "OBJ 0x6f"},
                                                 {'i', "INST 0x69"},
                                                 {'\x81', "NEWOBJ 0x81"},
                                                 {'\x93', "STACK_GLOBAL 0x93"},
                                                 {'\x95', "FRAME 0x95"},
                                                 {'\x82', "EXT1 0x82"},
                                                 {'0', "POP 0x30"},
                                                 {'2', "DUP 0x32"},
                                                 {'P', "PERSID 0x50"},
                                                 {'\x8b', "LONG4 0x8b"},
                                                 {'\x80', "PROTO 0x80"}})
    EXPECT_THAT(refusal(std::string(1, opcode) + "xxxxxxxx"),
                AllOf(HasSubstr("opcode " + name + " is not allowed"), HasSubstr("byte 2")));
  EXPECT_THAT(refusal("\xff"), HasSubstr("opcode 0xff does not exist"));
}

TEST(PickleRefuses, OtherGlobalsByName) {
  for (const auto& [module, name] :
       std::vector<std::pair<std::string, std::string>>{{"os", "system"},
                                                        {"posix", "system"},
                                                        {"builtins", "eval"},
                                                        {"subprocess", "Popen"},
                                                        {"torch", "load"},
                                                        {"torch._utils", "_rebuild_tensor_v3"},
                                                        {"torch", "ComplexFloatStorage"},
                                                        {"collections", "defaultdict"},
                                                        {"", ""},
                                                        {"torch.FloatStorage", ""},
                                                        {"Torch", "FloatStorage"}})
    EXPECT_THAT(refusal(global(module, name)),
                HasSubstr("GLOBAL \"" + module + "." + name + "\" is not allowed"));
}

TEST(PickleRefuses, AGlobalWithoutEnd) {
  EXPECT_THAT(refused_bytes("\x80\x02"
                            "cos"),
              HasSubstr("inside the name of a global"));
}

TEST(PickleRefuses, CallsOfWhatIsNoFunction) {
  EXPECT_THAT(refusal("K\1)R"), HasSubstr("what REDUCE calls is an integer"));
  EXPECT_THAT(refusal(call(global("torch", "FloatStorage"), {})), HasSubstr("FloatStorage"));
  EXPECT_THAT(refusal(call(global("torch", "Tensor"), {})), HasSubstr("only a class"));
  EXPECT_THAT(refusal(global("torch", "Size") + "]R"), HasSubstr("arguments of REDUCE is a list"));
}

TEST(PickleRefuses, OrderedDictAndSizeWithOddArguments) {
  EXPECT_THAT(refusal(call(global("collections", "OrderedDict"), {"]"})),
              HasSubstr("OrderedDict with arguments"));
  EXPECT_THAT(refusal(call(global("torch", "Size"), {"N"})), HasSubstr("argument of Size is None"));
  EXPECT_THAT(refusal(call(global("torch", "Size"), {})), HasSubstr("expected one"));
}

TEST(PickleRefuses, AnEmptyStack) {
  EXPECT_THAT(refusal(std::string("q\0", 2)), HasSubstr("it needs"));
  for (const char* body : {"a", "\x85", "s", "R", "Q", "b", "K\1s", "K\1K\2\x87"})
    EXPECT_THAT(refusal(body), HasSubstr("it needs")) << body;
}

TEST(PickleRefuses, ToPopBelowAMark) {
  EXPECT_THAT(refusal("K\1(\x85"), HasSubstr("fewer are left"));
  EXPECT_THAT(refusal("](a"), HasSubstr("fewer are left"));
  EXPECT_THAT(refusal("]K\1(Q"), HasSubstr("none is left"));
}

TEST(PickleRefuses, AMissingMark) {
  for (const char* body : {"t", "]e", "}u"})
    EXPECT_THAT(refusal(body), HasSubstr("it needs a mark")) << body;
}

TEST(PickleRefuses, AppendingToOtherThings) {
  EXPECT_THAT(refusal("}K\1a"), HasSubstr("appends to a dictionary"));
  EXPECT_THAT(refusal(")(K\1e"), HasSubstr("appends to a tuple"));
  EXPECT_THAT(refusal("]K\1K\2s"), HasSubstr("sets an item of a list"));
  EXPECT_THAT(refusal("N(K\1K\2u"), HasSubstr("sets items of None"));
}

TEST(PickleRefuses, AKeyWithoutValue) {
  EXPECT_THAT(refusal("}(K\1u"), HasSubstr("a key without a value"));
}

TEST(PickleRefuses, BuildOfOtherThings) {
  EXPECT_THAT(refusal("]}b"), HasSubstr("BUILD of a list with a dictionary"));
  EXPECT_THAT(refusal("}]b"), HasSubstr("BUILD of a dictionary with a list"));
}

TEST(PickleRefuses, MemoSlotsThatWereSkipped) {
  EXPECT_THAT(refusal("Nq\1"), HasSubstr("memo slot 1; expected at most 0"));
  EXPECT_THAT(refusal("Nr" + u32(0xffffffff)), HasSubstr("memo slot 4294967295"));
  EXPECT_THAT(refusal("h\1"), HasSubstr("memo slot 1 was never filled"));
  EXPECT_THAT(refusal("j" + u32(0xffffffff)), HasSubstr("never filled"));
}

TEST(PickleRefuses, LongIntegers) {
  EXPECT_THAT(refusal("\x8a\x09"
                      "123456789"),
              HasSubstr("integer of 9 bytes; expected at most 8"));
}

TEST(PickleRefuses, LengthsBeyondTheEnd) {
  EXPECT_THAT(refusal("X" + u32(0xffffffff) + "abc"), HasSubstr("4294967295 bytes are announced"));
  EXPECT_THAT(refusal("U\xff"
                      "abc"),
              HasSubstr("255 bytes are announced, 4 are left"));
}

TEST(PickleRefuses, AnEndWithoutStop) {
  EXPECT_THAT(refused_bytes("\x80\x02N"), HasSubstr("cut short"));
  EXPECT_THAT(refused_bytes("\x80"), HasSubstr("cut short"));
  EXPECT_THAT(refused_bytes(""), HasSubstr("cut short"));
}

TEST(PickleRefuses, AStopWithMoreOrLessThanOneValue) {
  EXPECT_THAT(refusal(""), HasSubstr("STOP with 0 values"));
  EXPECT_THAT(refusal("NN"), HasSubstr("STOP with 2 values"));
  EXPECT_THAT(refusal("N("), HasSubstr("1 values and 1 marks"));
}

TEST(PickleRefuses, MoreOperationsThanAnyCheckpointNeeds) {
  EXPECT_THAT(refusal(std::string(4'000'001, ')')), HasSubstr("more than 4000000 operations"));
}

// ---- storages and tensors ----

std::string small(int64_t offset, const std::vector<int64_t>& shape,
                  const std::vector<int64_t>& strides) {
  return text("w") + tensor(storage("FloatStorage", "0", 10), offset, shape, strides) + "\x86";
}

TEST(PickledTensors, AreViewsOfStorages) {
  const std::string bytes =
      pickle(tuple({tensor(storage("HalfStorage", "0", 10), 1, {2, 3}, {4, 2}),
                    tensor(storage("HalfStorage", "0", 10), 0, {}, {}),
                    tensor(storage("BoolStorage", "1", 0), 7, {0}, {1})}));
  const Pickle read = parse(bytes);
  ASSERT_EQ(read.storages.size(), 2);
  EXPECT_EQ(read.storages[0].dtype, DType::f16);
  EXPECT_EQ(read.storages[0].numel, 10);
  EXPECT_EQ(read.storages[1].dtype, DType::boolean);
  ASSERT_EQ(read.tensors.size(), 3);
  EXPECT_EQ(read.tensors[0], (PickledTensor{0, 1, {2, 3}, {4, 2}}));
  EXPECT_EQ(read.tensors[1], (PickledTensor{0, 0, {}, {}}));
}

TEST(PickledTensors, MayComeAsParametersAndWithAttributes) {
  const std::string data = tensor(storage("FloatStorage", "0", 1), 0, {1}, {1});
  for (const std::string& body :
       {call(global("torch._utils", "_rebuild_parameter"), {data, "\x88", "}"}),
        call(global("torch._utils", "_rebuild_parameter_with_state"), {data, "\x88", "}", "}"}),
        call(global("torch._tensor", "_rebuild_from_type_v2"),
             {global("torch._utils", "_rebuild_tensor_v2"), global("torch", "Tensor"),
              tuple({storage("FloatStorage", "0", 1), integer(0), integers({1}), integers({1}),
                     "\x89", "}"}),
              "}"})})
    EXPECT_EQ(root_of<TensorRef>(body).index, 0);
}

TEST(PickledTensorsRefuse, SizesAndStridesOfDifferentRank) {
  EXPECT_THAT(refusal(small(0, {2, 3}, {1})),
              AllOf(HasSubstr("[2, 3] with strides [1]"), HasSubstr("(after \"w\")")));
}

TEST(PickledTensorsRefuse, NegativeNumbers) {
  EXPECT_THAT(refusal(small(0, {-1}, {1})), HasSubstr("an item of the size is -1"));
  EXPECT_THAT(refusal(small(0, {2}, {-1})), HasSubstr("an item of the stride is -1"));
  EXPECT_THAT(refusal(small(-1, {2}, {1})), HasSubstr("the storage offset is -1"));
  EXPECT_THAT(refusal(storage("FloatStorage", "0", -1)),
              HasSubstr("length of storage \"0\" is -1"));
}

TEST(PickledTensorsRefuse, ToReachBeyondTheStorage) {
  EXPECT_NO_THROW(parse(pickle(small(4, {2, 3}, {3, 1}))));
  EXPECT_THAT(refusal(small(5, {2, 3}, {3, 1})),
              HasSubstr("ends at element 10; its storage \"0\" has 10"));
  EXPECT_THAT(refusal(small(0, {2}, {10})), HasSubstr("ends at element 10"));
  EXPECT_THAT(refusal(small(10, {}, {})), HasSubstr("ends at element 10"));
}

TEST(PickledTensorsRefuse, Sizes2To60) {
  EXPECT_THAT(refusal(small(0, {k2To60}, {1})), HasSubstr("ends at element 1152921504606846975"));
  EXPECT_THAT(refusal(small(0, {k2To60, k2To60}, {0, 0})), HasSubstr("more than 63 bits"));
  EXPECT_THAT(refusal(small(0, {0, k2To60, k2To60}, {0, 0, 0})), HasSubstr("more than 63 bits"));
  EXPECT_THAT(refusal(small(0, {100, 2}, {k2To60, 1})), HasSubstr("more than 63 bits"));
  EXPECT_THAT(refusal(storage("DoubleStorage", "0", k2To60)), HasSubstr("more bytes than 63 bits"));
}

TEST(PickledTensorsRefuse, RanksAbove64) {
  const std::vector<int64_t> ones(65, 1);
  EXPECT_THAT(refusal(small(0, ones, ones)), HasSubstr("65 dimensions; expected at most 64"));
}

TEST(PickledTensorsRefuse, OtherNumbersOfArguments) {
  EXPECT_THAT(refusal(call(global("torch._utils", "_rebuild_tensor_v2"), {"N"})),
              HasSubstr("1 arguments; expected 6"));
  EXPECT_THAT(refusal(call(global("torch._utils", "_rebuild_parameter"), {"N"})),
              HasSubstr("1 arguments; expected 3"));
  EXPECT_THAT(refusal(call(global("torch._tensor", "_rebuild_from_type_v2"), {"N"})),
              HasSubstr("1 arguments; expected 4"));
}

TEST(PickledTensorsRefuse, ArgumentsOfAnotherKind) {
  const std::string rebuild = global("torch._utils", "_rebuild_tensor_v2");
  const std::string stored = storage("FloatStorage", "0", 1);
  const auto with = [&](const std::vector<std::string>& first) {
    std::vector<std::string> all = first;
    all.insert(all.end(), {"\x89", "}"});
    return refusal(call(rebuild, all));
  };
  EXPECT_THAT(with({"N", integer(0), ")", ")"}), HasSubstr("first argument is None"));
  EXPECT_THAT(with({stored, "N", ")", ")"}), HasSubstr("storage offset is None"));
  EXPECT_THAT(with({stored, integer(0), "]", ")"}), HasSubstr("the size is a list"));
  EXPECT_THAT(with({stored, integer(0), ")", "\x88"}), HasSubstr("the stride is a boolean"));
  EXPECT_THAT(with({stored, integer(0), tuple({"\x88"}), ")"}),
              HasSubstr("an item of the size is a boolean"));
  EXPECT_THAT(refusal(call(global("torch._utils", "_rebuild_parameter"), {"N", "N", "N"})),
              HasSubstr("the data of a parameter is None"));
  EXPECT_THAT(refusal(call(global("torch._tensor", "_rebuild_from_type_v2"),
                           {global("torch", "Size"), global("torch", "Tensor"), ")", "}"})),
              HasSubstr("_rebuild_from_type_v2 of Size and Tensor"));
}

TEST(PickledTensorsRefuse, OddPersistentIds) {
  const std::string type = global("torch", "FloatStorage");
  const auto with = [](const std::vector<std::string>& id) { return refusal(tuple(id) + "Q"); };
  EXPECT_THAT(refusal("NQ"), HasSubstr("a persistent id is None"));
  EXPECT_THAT(with({"N"}), HasSubstr("persistent id of 1 items"));
  EXPECT_THAT(with({text("module"), type, text("0"), text("cpu"), integer(1)}),
              HasSubstr("of kind \"module\""));
  EXPECT_THAT(with({text("storage"), global("torch", "Size"), text("0"), text("cpu"), integer(1)}),
              HasSubstr("a storage of class Size"));
  EXPECT_THAT(with({text("storage"), type, integer(0), text("cpu"), integer(1)}),
              HasSubstr("key of a storage is an integer"));
  EXPECT_THAT(with({text("storage"), type, text(std::string(65, '1')), text("cpu"), integer(1)}),
              HasSubstr("storage key of 65 bytes"));
  EXPECT_THAT(with({text("storage"), type, text("0"), "N", integer(1)}),
              HasSubstr("location of a storage is None"));
  EXPECT_THAT(with({text("storage"), type, text("0"), text("cpu"), "N"}),
              HasSubstr("length of storage \"0\" is None"));
  EXPECT_THAT(with({text("storage"), type, text("0"), text("cpu"), integer(1), ")"}),
              HasSubstr("is a view of another"));
}

TEST(PickledTensorsRefuse, AStorageOfTwoClassesOrLengths) {
  EXPECT_THAT(refusal(tuple({storage("FloatStorage", "0", 4), storage("IntStorage", "0", 4)})),
              HasSubstr("has 4 elements of i32 here and 4 of f32 before"));
  EXPECT_THAT(refusal(tuple({storage("FloatStorage", "0", 4), storage("FloatStorage", "0", 5)})),
              HasSubstr("has 5 elements of f32 here and 4 of f32 before"));
}

}  // namespace
}  // namespace krait
