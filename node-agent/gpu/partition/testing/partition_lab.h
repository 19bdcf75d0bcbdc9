// PartitionLab: GpuPartitions with a real helper process and the stand-in for NVML, for tests. The
// program must be the helper, too (PartitionLabMain).
#pragma once

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/log.h"
#include "lib/base/testing/temporary_directory.h"
#include "node-agent/gpu/gpu_helper.h"
#include "node-agent/gpu/partition/gpu_partitions.h"
#include "test/fake_nvml/scene.h"

namespace ashlar::node_agent {

// Passes everything on, and calls the hook before and after each step.
class HookedJournal final : public PartitionJournal {
 public:
  HookedJournal(PartitionJournal& journal, const std::function<void(const std::string&)>& hook)
      : journal_(journal), hook_(hook) {}
  absl::Status Save(const PartitionRecord& record) override {
    return Around("save", [&] { return journal_.Save(record); });
  }
  absl::Status Remove(const PartitionRecord& record) override {
    return Around("remove", [&] { return journal_.Remove(record); });
  }
  absl::Status SaveMode(const ModeRecord& record) override {
    return Around("save mode", [&] { return journal_.SaveMode(record); });
  }
  absl::Status RemoveMode(const ModeRecord& record) override {
    return Around("remove mode", [&] { return journal_.RemoveMode(record); });
  }
  absl::Status SavePower(const PowerRecord& record) override {
    return Around("save power", [&] { return journal_.SavePower(record); });
  }
  absl::Status RemovePower(const PowerRecord& record) override {
    return Around("remove power", [&] { return journal_.RemovePower(record); });
  }
  absl::StatusOr<Records> Load() override { return journal_.Load(); }

 private:
  absl::Status Around(const std::string& name, const std::function<absl::Status()>& body) {
    hook_("before " + name);
    absl::Status status = body();
    hook_("after " + name);
    return status;
  }
  PartitionJournal& journal_;
  const std::function<void(const std::string&)>& hook_;
};

class HookedChanges final : public GpuChanges {
 public:
  HookedChanges(GpuChanges& changes, const std::function<void(const std::string&)>& hook)
      : changes_(changes), hook_(hook) {}
  agent::v1::GpuChangeAnswer Make(const CallContext& context,
                                  agent::v1::ChangeGpu change) override {
    const std::string name = "step " + std::to_string(change.what_case());
    hook_("before " + name);
    agent::v1::GpuChangeAnswer answer = changes_.Make(context, std::move(change));
    hook_("after " + name);
    return answer;
  }
  void Rest() override { changes_.Rest(); }

 private:
  GpuChanges& changes_;
  const std::function<void(const std::string&)>& hook_;
};

// One agent's life.
struct Agent {
  Agent(const GpuSessionOptions& session, const std::string& directory, const std::string& boot)
      : file(directory),
        process(session, directory, clock),
        journal(file, hook),
        changes(process, hook),
        parts({.boot_id = boot,
               .retry = absl::Milliseconds(50),
               .mode_retry = absl::Milliseconds(50),
               .rest_after = absl::Seconds(30)},
              changes, journal, clock, [this] { ++told; }) {}
  absl::Status Recover() { return parts.Recover({}); }

  std::function<void(const std::string&)> hook = [](const std::string&) {};
  RealClock clock;
  FilePartitionJournal file;
  SessionGpuChanges process;
  HookedJournal journal;
  HookedChanges changes;
  std::atomic<int> told = 0;
  GpuPartitions parts;
};

class PartitionLab : public testing::Test {
 protected:
  PartitionLab() {
    SetLogLevel(LogLevel::kError);
    std::ofstream(path_) << R"({"gpus": [
      {"model": "H100-80GB", "pci": "0000:41:00.0"}, {"model": "A100-40GB", "pci": "0000:c1:00.0"},
      {"model": "L4-24GB", "pci": "0000:c2:00.0"}]})";
    setenv("ASHLAR_FAKE_NVML_SCENE", path_.c_str(), 1);
    session_.helper = {"/proc/self/exe", kGpuHelperWord};
    session_.libraries = {FAKE_NVML_LIBRARY};
    session_.open_deadline = absl::Seconds(20);
    session_.change_deadline = absl::Milliseconds(1500);
    session_.first_pause = absl::Milliseconds(50);
    session_.absent_pause = absl::Milliseconds(50);
    const fake_nvml::Json scene = Scene();
    for (const fake_nvml::Json& gpu : scene["gpus"]) uuids_.push_back(gpu["uuid"]);
    Restart();
  }
  ~PartitionLab() override { SetLogLevel(LogLevel::kInfo); }

  // The agent ends and begins anew, without its thread.
  void Restart() {
    agent_.reset();
    agent_ = std::make_unique<Agent>(session_, journal_, boot_);
    ASSERT_EQ(agent_->Recover(), absl::OkStatus());
  }
  GpuPartitionArgs Part(int start = 0, const std::string& profile = "3g.40gb", int size = 4,
                        int64_t keep = 0, int power_watts = 0) {
    return {uuids_[0], profile, start, size, keep, power_watts};
  }
  // The GPU's power limit in watts.
  int Power(size_t gpu = 0) const { return Scene()["gpus"][gpu]["powerLimit"].get<int>() / 1000; }
  absl::StatusOr<GpuPartition> Ensure(const std::string& claim, const GpuPartitionArgs& part) {
    return agent_->parts.Ensure({}, claim, part);
  }
  absl::Status Release(const std::string& claim) { return agent_->parts.Release({}, claim); }
  std::vector<GpuPartition> List() { return agent_->parts.List(); }
  std::vector<GpuPartition> Until(
      const std::function<bool(const std::vector<GpuPartition>&)>& good) {
    for (const absl::Time end = absl::Now() + absl::Seconds(30); absl::Now() < end;
         absl::SleepFor(absl::Milliseconds(5)))
      if (auto list = List(); good(list)) return list;
    ADD_FAILURE() << (List().empty() ? "nothing" : List()[0].problem);
    return List();
  }
  void UntilEmpty() {
    Until([](const auto& list) { return list.empty(); });
  }

  fake_nvml::Json Scene() const { return fake_nvml::Scene(path_).Read(); }
  fake_nvml::Json Mig(size_t gpu = 0) const { return Scene()["gpus"][gpu]["mig"]; }
  size_t Instances(size_t gpu = 0) const { return Mig(gpu)["instances"].size(); }
  void Change(const std::function<void(fake_nvml::Json& state)>& change) {
    fake_nvml::Scene(path_).With([&](fake_nvml::Json& state) {
      change(state);
      return true;
    });
  }
  void AddForeign(int id, int profile, int start, int size, const std::string& uuid) {
    Change([&](fake_nvml::Json& state) {
      fake_nvml::Json& mig = state["gpus"][0]["mig"];
      mig["current"] = mig["pending"] = true;
      fake_nvml::Json compute = fake_nvml::Json::array();
      if (!uuid.empty())
        compute.push_back({{"id", 0}, {"profile", 0}, {"start", 0}, {"size", 1}, {"uuid", uuid}});
      mig["instances"].push_back({{"id", id},
                                  {"profile", profile},
                                  {"start", start},
                                  {"size", size},
                                  {"clients", 0},
                                  {"compute", compute}});
    });
  }
  int Records() const {
    int count = 0;
    for (const auto& file : std::filesystem::directory_iterator(journal_))
      count += file.path().extension() == ".json" ? 1 : 0;
    return count;
  }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/scene";
  const std::string journal_ = directory_.path() + "/journal";
  std::string boot_ = "boot-1";
  GpuSessionOptions session_;
  std::vector<std::string> uuids_;
  std::unique_ptr<Agent> agent_;
};

inline int PartitionLabMain(int argc, char** argv) {
  if (IsGpuHelper(argc, argv)) return RunGpuHelper();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

}  // namespace ashlar::node_agent
