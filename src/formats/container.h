// Which container a file is, by its first bytes: names end in anything.
#pragma once

#include <optional>
#include <string>

namespace krait {

enum class Container { safetensors, torch, gguf };

// nullopt where the first bytes are those of no container. Throws InputError for a file that cannot
// be read, and for what is commonly found in the place of weights: a Git LFS pointer, a web page.
std::optional<Container> container_of(const std::string& path);

// The first bytes of a file as they may stand in a message. Throws InputError like the above.
std::string beginning_of(const std::string& path);

}  // namespace krait
