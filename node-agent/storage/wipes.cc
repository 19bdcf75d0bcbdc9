#include "node-agent/storage/wipes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"

namespace ashlar::node_agent {

Wipes::~Wipes() {
  std::map<std::string, std::shared_ptr<Wipe>> all;
  {
    MutexLock lock(mu_);
    all.swap(wipes_);
  }
  for (const auto& [key, wipe] : all) wipe->thread.request_stop();
  for (const auto& [key, wipe] : all)
    if (wipe->thread.joinable()) wipe->thread.join();
}

std::shared_ptr<Wipes::Wipe> Wipes::Ensure(const std::string& key, Work work) {
  // Whose end somebody still waits for stays; the threads of the others have nothing left to do.
  std::erase_if(wipes_,
                [](const auto& item) { return item.second->done && item.second.use_count() == 1; });
  std::shared_ptr<Wipe>& wipe = wipes_[key];
  if (wipe != nullptr && !wipe->done) return wipe;
  wipe = std::make_shared<Wipe>();
  // The thread knows the wipe by a bare pointer: it must not own, and so join, itself.
  wipe->thread = std::jthread(
      [this, key, work = std::move(work), mine = wipe.get()](const std::stop_token& stop) {
        CallContext context;
        context.stop = stop;
        const absl::Status status = work(context);
        if (!status.ok())
          LogError("a wipe did not end", {{"what", key}, {"error", status.ToString()}});
        MutexLock lock(mu_);
        mine->status = status;
        mine->done = true;
        changed_.NotifyAll();
      });
  return wipe;
}

void Wipes::Start(const std::string& key, Work work) {
  MutexLock lock(mu_);
  (void)Ensure(key, std::move(work));
}

absl::Status Wipes::Run(const CallContext& context, const std::string& key, Work work) {
  const std::stop_callback wake(context.stop, [this] {
    MutexLock lock(mu_);
    changed_.NotifyAll();
  });
  MutexLock lock(mu_);
  const std::shared_ptr<Wipe> wipe = Ensure(key, std::move(work));
  while (!wipe->done) {
    if (context.stop.stop_requested() || clock_.Now() >= context.deadline)
      return absl::UnavailableError(absl::StrCat(key, " is still being wiped: repeat"));
    clock_.WaitUntil(changed_, mu_, context.deadline);
  }
  return wipe->status;
}

}  // namespace ashlar::node_agent
