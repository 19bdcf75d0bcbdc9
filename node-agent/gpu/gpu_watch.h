// GpuWatch: what GPUs this machine has and how they are, kept up to date by what the driver tells,
// in a thread of its own. What no event tells of (temperature, counters) is read anew now and then.
// Thread-safe.
//
//   no helper ──Open──► Ready ──event, period──► read ──► Ready
//       ▲                 │ a GPU is gone: Open again
//       └── pause ◄───────┴ hung, failed, no driver, no library (gpus stay as they were told if it
//                           hung or failed; without driver or library there are none)
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "lib/base/mutex.h"
#include "node-agent/gpu/gpu_session.h"

namespace ashlar::node_agent {

struct GpuReport {
  v1alpha1::GpuDriver driver;
  std::vector<v1alpha1::Gpu> gpus;  // by PCI address
};

// Whether a reader of `before` should be told of `after`: less than 10 degrees or 50 watts are no
// news, nor are errors of links before they double.
bool IsNews(const GpuReport& before, const GpuReport& after);

struct GpuWatchOptions {
  GpuSessionOptions session;
  // How often all GPUs are read without an event.
  absl::Duration period = absl::Minutes(2);
  // How long one question for events takes: so soon it is noticed that the driver hangs.
  absl::Duration patience = absl::Seconds(5);
};

class GpuWatch {
 public:
  // `tell` is called in the watch's thread whenever there is news.
  GpuWatch(GpuWatchOptions options, Clock& clock, std::function<void()> tell)
      : options_(std::move(options)), clock_(clock), tell_(std::move(tell)) {}
  ~GpuWatch() { Stop(); }

  void Start();
  void Stop();
  // What was told last; never null. Until the driver answered for the first time the state of the
  // driver is empty.
  std::shared_ptr<const GpuReport> Latest();
  // All GPUs are read anew after the question for events that is under way: of something that no
  // event tells.
  void ReadSoon() { read_soon_ = true; }
  // Looks once, in this thread, without listening: for those who don't start it.
  GpuReport LookOnce(const CallContext& context);

 private:
  void Run(const std::stop_token& stop);
  // Opens and reads all. False: there is trouble.
  bool LookAtAll(const CallContext& context);
  // Reads until the driver hangs; false then.
  bool ReadAll(const CallContext& context);
  // Waits for events until the next period; true if GPUs are to be read again.
  bool Listen(const CallContext& context);
  void ListenAnew(const CallContext& context);
  // The driver asked for a recovery, such as a reset, and asks no more: the errors before it are
  // over.
  bool HasRecovered(const v1alpha1::Gpu& gpu) const;
  void NoteXid(const agent::v1::GpuEvent& event);
  void Publish();

  const GpuWatchOptions options_;
  Clock& clock_;
  const std::function<void()> tell_;
  // Of the thread.
  std::unique_ptr<GpuSession> session_;
  GpuReport seen_;
  int count_ = 0;
  int silent_ = 0;  // of these did not answer
  absl::Time read_at_ = absl::InfinitePast();
  std::map<std::string, std::vector<v1alpha1::GpuXid>> xids_;  // by UUID

  std::atomic<bool> read_soon_ = false;
  Mutex mu_;
  std::shared_ptr<const GpuReport> latest_ ABSL_GUARDED_BY(mu_) =
      std::make_shared<const GpuReport>();
  std::jthread thread_;
};

}  // namespace ashlar::node_agent
