// The models that can be named without a path: those that come with krait, and those in the local
// cache of the Hugging Face hub.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "krait/checkpoint.h"

namespace krait {

// What the tensors of a checkpoint amount to. Two names of the same bytes count once.
struct StoredWeights {
  int64_t parameters = 0;
  int64_t bytes = 0;
  std::map<std::string, int64_t> bytes_by_dtype;
  std::string dtype = "none";   // the type of most bytes
  std::set<std::string> files;  // that hold tensors
  int64_t unread = 0;           // tensors of types that krait does not read: not counted
  std::string why_unread;       // the first of them
};
StoredWeights count_weights(const Checkpoint& checkpoint);

enum class ModelSource { bundled, hub };

struct ListedModel {
  std::string name;  // what -m takes; of a broken entry of the cache, the nearest thing to one
  std::string path;
  ModelSource source = ModelSource::bundled;
  std::string problem;        // not empty: why it cannot be opened; then nothing below is known
  std::string architecture;   // "mamba", …
  int64_t parameters = 0;     // as stored
  std::string dtype;          // of most of the weights
  int64_t bytes_on_disk = 0;  // of all files in the folder
};

// Bundled models first, then the cache's, each sorted by name. Configs and headers of the weights
// are read, not the weights. Nothing that is wrong with an entry ends the list.
std::vector<ListedModel> list_models();

// The names alone of those that seem to be there: no file of theirs is opened.
std::vector<std::string> model_names();

}  // namespace krait
