#include "src/template/token_stream.h"

#include "krait/error.h"

namespace krait::jinja {

void TokenStream::fail(const std::string& what) const {
  throw InputError(name_ + ":" + std::to_string(current().line) + ": " + what);
}

}  // namespace krait::jinja
