#include "models/config_values.h"

#include <cmath>
#include <limits>

#include "krait/error.h"

namespace krait {
namespace {

using nlohmann::json;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// One end of a limit; NaN for anything else than a number.
double limit(const json& v, double otherwise) {
  if (v.is_null()) return otherwise;
  if (v.is_number()) return v.get<double>();
  // As newer transformers write numbers that JSON does not have.
  if (v.is_object() && v.size() == 1 && v.contains("__float__")) {
    if (v["__float__"] == "Infinity") return kInfinity;
    if (v["__float__"] == "-Infinity") return -kInfinity;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

float narrow(double v) {
  return v > static_cast<double>(std::numeric_limits<float>::max())
             ? std::numeric_limits<float>::infinity()
             : static_cast<float>(v);
}

}  // namespace

ConfigValues::ConfigValues(const json& object, std::string source, const Warn& warn)
    : object_(object), source_(std::move(source)), warn_(warn) {
  if (!object_.is_object()) fail("is not a JSON object");
}

void ConfigValues::fail(const std::string& what) const { throw InputError(source_ + ": " + what); }
void ConfigValues::warn(const std::string& what) const { warn_(source_ + ": " + what); }

const json* ConfigValues::value(const char* key) const {
  if (key == nullptr) return nullptr;
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<int64_t> ConfigValues::integer(const char* key) const {
  const json* v = value(key);
  if (!v) return std::nullopt;
  if (v->is_number_integer()) {
    if (v->is_number_unsigned() &&
        v->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      fail(std::string(key) + " is " + v->dump() + "; expected an integer within 64 bits");
    return v->get<int64_t>();
  }
  if (v->is_number_float() && std::floor(v->get<double>()) == v->get<double>() &&
      std::fabs(v->get<double>()) < 1e15)
    return static_cast<int64_t>(v->get<double>());
  fail(std::string(key) + " is " + v->dump() + "; expected an integer");
}

std::optional<bool> ConfigValues::flag(const char* key) const {
  const json* v = value(key);
  if (!v) return std::nullopt;
  if (!v->is_boolean()) fail(std::string(key) + " is " + v->dump() + "; expected true or false");
  return v->get<bool>();
}

float ConfigValues::epsilon(const char* key, float otherwise) const {
  const json* v = value(key);
  if (!v) return otherwise;
  const double eps = v->is_number() ? v->get<double>() : -1.0;
  if (!(eps > 0.0 && eps < 1.0))
    fail(std::string(key) + " is " + v->dump() + "; expected a number in (0, 1)");
  return static_cast<float>(eps);
}

void ConfigValues::limits(const char* key, float& low, float& high) const {
  const json* v = value(key);
  if (!v) return;
  const bool pair = v->is_array() && v->size() == 2;
  const double from = pair ? limit((*v)[0], 0.0) : -1.0;
  const double to = pair ? limit((*v)[1], kInfinity) : -1.0;
  if (!(from >= 0.0 && from < kInfinity && to >= from))
    fail(std::string(key) + " is " + v->dump() + "; expected [low, high] with 0 <= low <= high");
  low = narrow(from);
  high = narrow(to);
}

void ConfigValues::agree(const char* key, int64_t found) const {
  const std::optional<int64_t> said = integer(key);
  if (said && *said != found)
    warn(std::string(key) + " is " + std::to_string(*said) + ", but the tensors have " +
         std::to_string(found) + "; going by the tensors");
}

}  // namespace krait
