// One sequence on its way through a model.
//
//   const auto session = engine->session();
//   session->feed(prompt);
//   const Snapshot before = session->snapshot();  // a few megabytes, whatever the length
//   ... feed, generate() ...
//   session->restore(before);                     // undo: nothing is read again
//   const auto branch = session->fork();          // a second future of the same past
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "krait/sampler.h"
#include "krait/state.h"

namespace krait {

// Whether a session keeps the ids it was fed: four bytes per token, which penalties, resumed text
// and chats need. A session that keeps none takes the same memory after any number of tokens.
enum class History { keep, discard };

// What Session::advance does with an id that was drawn.
enum class Verdict {
  feed,  // and draw the next one
  feed_and_stop,
  stop,  // the id becomes no part of the sequence
};

// Cheap to make; ends before its engine. Used by one thread at a time, as all others of its engine
// may be by other threads at the same time (engine.h). The thread may change between calls.
class Session {
 public:
  virtual ~Session() = default;

  // Feeds tokens, in blocks of the engine's chunk. Afterwards logits() are those after the last
  // one. `every`, if given, sees the logits after each token: (index within ids, logits); other
  // threads wait for the engine meanwhile.
  // Ids outside the embedding throw InputError before anything is fed. Stops between blocks when
  // `stop` becomes true (logits() is then empty) and returns how many tokens were fed. `every` sees
  // no logits that are not finite: see logits().
  virtual int64_t feed(std::span<const int32_t> ids,
                       const std::function<void(int64_t, std::span<const float>)>& every = {},
                       const std::atomic<bool>* stop = nullptr) = 0;

  // Goes on by itself: exactly
  //   for (; most > 0; --most) {
  //     id = sampler.sample(logits(), position());
  //     verdict = on_id(id);
  //     if (verdict != Verdict::stop) feed(id);
  //     if (verdict != Verdict::feed) break;
  //   }
  // with Sampler(sampling, engine's sampled_vocab(), seed, sequence). Where the device can draw, it
  // is some steps ahead of on_id, which must not use the session, and other threads wait until it
  // has ended; otherwise they take turns token by token. What it has done too much by the
  // end is undone when somebody asks for more than position() and ids(). Options that look back are
  // the caller's error; not without logits().
  virtual void advance(const SamplingOptions& sampling, uint64_t seed, uint64_t sequence,
                       int64_t most, const std::function<Verdict(int32_t)>& on_id) = 0;
  // Whether advance() lets the device draw with these options.
  virtual bool runs_ahead(const SamplingOptions& sampling) const = 0;

  // Logits after the last token, [embedding_rows]; empty before the first feed and after one that
  // was stopped. Brought to the host by the first call. Valid until the next feed, restore or
  // reset. Throws Failure where they are not finite, naming the first layer whose output is not.
  virtual std::span<const float> logits() const = 0;

  // Tokens fed so far.
  virtual int64_t position() const noexcept = 0;

  // Those tokens, in order; empty with History::discard. Valid as logits() are.
  virtual std::span<const int32_t> ids() const noexcept = 0;

  // The sequence as it is now. One copy from the backend's memory to the host's.
  virtual Snapshot snapshot() const = 0;

  // Goes to that moment, of this sequence or of any other of the same model: whatever is fed next
  // gives the same bits as it would have given there.
  virtual void restore(const Snapshot& snapshot) = 0;

  // A new session of the same engine that stands where this one does. The state is copied within
  // the backend's memory.
  virtual std::unique_ptr<Session> fork() const = 0;

  // Back to an empty sequence.
  virtual void reset() = 0;
};

}  // namespace krait
