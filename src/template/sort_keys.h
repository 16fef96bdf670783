// What filters that compare items (sort, unique, min, max) compare.
#pragma once

#include "src/template/attributes.h"
#include "src/template/characters.h"
#include "src/template/run.h"
#include "src/template/value.h"

namespace krait::jinja {

// The item or its attribute, in lower case unless `case_sensitive` is true. Refers to its
// arguments, which are those of the filter: null where not given.
class SortKey {
 public:
  SortKey(Run& run, const Value* case_sensitive, const Value* attribute)
      : run_(run),
        ignores_case_(case_sensitive == nullptr || !case_sensitive->truth()),
        attribute_(attribute != nullptr && !attribute->is_none() ? attribute : nullptr) {}

  Value operator()(const Value& item) const {
    Value key = attribute_ ? path_of(run_, item, *attribute_) : item;
    if (!ignores_case_ || !key.string()) return key;
    run_.scan(key.string()->size());
    return run_.string(to_lower(*key.string()));
  }

 private:
  Run& run_;
  bool ignores_case_;
  const Value* attribute_;
};

}  // namespace krait::jinja
