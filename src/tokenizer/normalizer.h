// Unicode normal forms, with the characters that Hugging Face tokenizers know.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace krait {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

// Appends the normal form of `text` (valid UTF-8). Linear, but for n log n in a run of marks.
void append_normalized(NormalForm form, std::string_view text, std::string& out);

// Immutable and safe to share between threads.
class Normalizer {
 public:
  // Applied in order; none: text stays as it is.
  explicit Normalizer(std::vector<NormalForm> forms) : forms_(std::move(forms)) {}

  const std::vector<NormalForm>& forms() const noexcept { return forms_; }

  // The normalised text: `text` itself where nothing changes, else kept in `storage`.
  std::string_view apply(std::string_view text, std::string& storage) const;

 private:
  std::vector<NormalForm> forms_;
};

}  // namespace krait
