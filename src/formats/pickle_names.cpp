#include "src/formats/pickle_names.h"

#include <algorithm>
#include <array>

namespace krait {
namespace {

constexpr std::array<PickleGlobal, 18> kGlobals = {{
    {"collections", "OrderedDict", PickleCall::ordered_dict},
    {"torch", "Size", PickleCall::size},
    {"torch._utils", "_rebuild_tensor_v2", PickleCall::rebuild_tensor},
    {"torch._utils", "_rebuild_parameter", PickleCall::rebuild_parameter},
    {"torch._utils", "_rebuild_parameter_with_state", PickleCall::rebuild_parameter_with_state},
    {"torch._tensor", "_rebuild_from_type_v2", PickleCall::rebuild_from_type},
    {"torch", "Tensor", PickleCall::tensor_class},
    {"torch.nn.parameter", "Parameter", PickleCall::tensor_class},
    {"torch", "FloatStorage", PickleCall::storage_class, DType::f32},
    {"torch", "HalfStorage", PickleCall::storage_class, DType::f16},
    {"torch", "BFloat16Storage", PickleCall::storage_class, DType::bf16},
    {"torch", "DoubleStorage", PickleCall::storage_class, DType::f64},
    {"torch", "LongStorage", PickleCall::storage_class, DType::i64},
    {"torch", "IntStorage", PickleCall::storage_class, DType::i32},
    {"torch", "ShortStorage", PickleCall::storage_class, DType::i16},
    {"torch", "CharStorage", PickleCall::storage_class, DType::i8},
    {"torch", "ByteStorage", PickleCall::storage_class, DType::u8},
    {"torch", "BoolStorage", PickleCall::storage_class, DType::boolean},
}};

struct OpcodeName {
  uint8_t opcode;
  std::string_view name;
};

constexpr OpcodeName kOpcodes[] = {
    {0x28, "MARK"},         {0x29, "EMPTY_TUPLE"},
    {0x2e, "STOP"},         {0x30, "POP"},
    {0x31, "POP_MARK"},     {0x32, "DUP"},
    {0x42, "BINBYTES"},     {0x43, "SHORT_BINBYTES"},
    {0x46, "FLOAT"},        {0x47, "BINFLOAT"},
    {0x49, "INT"},          {0x4a, "BININT"},
    {0x4b, "BININT1"},      {0x4c, "LONG"},
    {0x4d, "BININT2"},      {0x4e, "NONE"},
    {0x50, "PERSID"},       {0x51, "BINPERSID"},
    {0x52, "REDUCE"},       {0x53, "STRING"},
    {0x54, "BINSTRING"},    {0x55, "SHORT_BINSTRING"},
    {0x56, "UNICODE"},      {0x58, "BINUNICODE"},
    {0x5d, "EMPTY_LIST"},   {0x61, "APPEND"},
    {0x62, "BUILD"},        {0x63, "GLOBAL"},
    {0x64, "DICT"},         {0x65, "APPENDS"},
    {0x67, "GET"},          {0x68, "BINGET"},
    {0x69, "INST"},         {0x6a, "LONG_BINGET"},
    {0x6c, "LIST"},         {0x6f, "OBJ"},
    {0x70, "PUT"},          {0x71, "BINPUT"},
    {0x72, "LONG_BINPUT"},  {0x73, "SETITEM"},
    {0x74, "TUPLE"},        {0x75, "SETITEMS"},
    {0x7d, "EMPTY_DICT"},   {0x80, "PROTO"},
    {0x81, "NEWOBJ"},       {0x82, "EXT1"},
    {0x83, "EXT2"},         {0x84, "EXT4"},
    {0x85, "TUPLE1"},       {0x86, "TUPLE2"},
    {0x87, "TUPLE3"},       {0x88, "NEWTRUE"},
    {0x89, "NEWFALSE"},     {0x8a, "LONG1"},
    {0x8b, "LONG4"},        {0x8c, "SHORT_BINUNICODE"},
    {0x8d, "BINUNICODE8"},  {0x8e, "BINBYTES8"},
    {0x8f, "EMPTY_SET"},    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},    {0x92, "NEWOBJ_EX"},
    {0x93, "STACK_GLOBAL"}, {0x94, "MEMOIZE"},
    {0x95, "FRAME"},        {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},  {0x98, "READONLY_BUFFER"},
};

}  // namespace

const PickleGlobal* find_pickle_global(std::string_view module, std::string_view name) noexcept {
  const auto found = std::find_if(kGlobals.begin(), kGlobals.end(), [&](const PickleGlobal& known) {
    return known.module == module && known.name == name;
  });
  return found == kGlobals.end() ? nullptr : &*found;
}

std::string_view pickle_opcode_name(uint8_t opcode) noexcept {
  for (const OpcodeName& known : kOpcodes)
    if (known.opcode == opcode) return known.name;
  return {};
}

}  // namespace krait
