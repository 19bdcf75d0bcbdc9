// Bad input in bulk that conflicts with what is there, or with the rest of its request: sizes,
// repeats that ask for something else, sources, parameters and volumes of the wrong type.
#include "absl/strings/str_cat.h"
#include "csi/mutable_parameters.h"
#include "csi/names.h"
#include "csi/parameters.h"
#include "csi/testing/bulk_test.h"
#include "lib/api/kinds.h"

namespace ashlar::csi_driver {
namespace {

using AccessMode = csi::v1::VolumeCapability::AccessMode;
using Create = csi::v1::CreateVolumeRequest;
using Publish = csi::v1::ControllerPublishVolumeRequest;
using Take = csi::v1::CreateSnapshotRequest;
using TakeGroup = csi::v1::CreateVolumeGroupSnapshotRequest;
using Show = csi::v1::NodePublishVolumeRequest;
using grpc::StatusCode;

constexpr int64_t kMiB = 1 << 20;
constexpr auto kInvalid = StatusCode::INVALID_ARGUMENT;

TEST_F(BulkTest, SizesThatAreNone) {
  struct Size {
    int64_t required, limit;
    StatusCode code;
  };
  for (const Size& size : std::vector<Size>{
           {-1, 0, StatusCode::INVALID_ARGUMENT},
           {0, -1, StatusCode::INVALID_ARGUMENT},
           {INT64_MIN, INT64_MIN, StatusCode::INVALID_ARGUMENT},
           {200 * kMiB, 150 * kMiB, StatusCode::INVALID_ARGUMENT},
           {200 * kMiB + 1, 200 * kMiB + 2, StatusCode::OUT_OF_RANGE},
           {INT64_MAX, 0, StatusCode::OUT_OF_RANGE},
       }) {
    const std::string what = std::to_string(size.required) + ".." + std::to_string(size.limit);
    const auto set = [&](auto& request) {
      request.mutable_capacity_range()->set_required_bytes(size.required);
      request.mutable_capacity_range()->set_limit_bytes(size.limit);
    };
    Case<csi::v1::CreateVolumeRequest>("CreateVolume", size.code, what, set);
    Case<csi::v1::ControllerExpandVolumeRequest>("ControllerExpandVolume", size.code, what, set);
  }
  Case<csi::v1::ControllerExpandVolumeRequest>(
      "ControllerExpandVolume", StatusCode::OUT_OF_RANGE, "a limit below what there is",
      [](auto& r) {
        r.mutable_capacity_range()->set_required_bytes(1);
        r.mutable_capacity_range()->set_limit_bytes(50 * kMiB);
      });
  Case<csi::v1::NodeExpandVolumeRequest>(
      "NodeExpandVolume", StatusCode::INVALID_ARGUMENT, "a negative size",
      [](auto& r) { r.mutable_capacity_range()->set_required_bytes(-1); });
}

TEST_F(BulkTest, RepeatsThatAskForSomethingElse) {
  const std::vector<std::pair<std::string, std::function<void(Create&)>>> changes = {
      {"larger", [](Create& r) { r.mutable_capacity_range()->set_required_bytes(900 * kMiB); }},
      {"smaller",
       [](Create& r) {
         r.mutable_capacity_range()->set_required_bytes(16 * kMiB);
         r.mutable_capacity_range()->set_limit_bytes(32 * kMiB);
       }},
      {"block", [](Create& r) { r.mutable_volume_capabilities(0)->mutable_block(); }},
      {"xfs",
       [](Create& r) {
         (*r.mutable_parameters())["csi.storage.k8s.io/fstype"] = "xfs";
         r.mutable_capacity_range()->set_required_bytes(0);
       }},
      {"elsewhere",
       [](Create& r) {
         (*r.mutable_accessibility_requirements()
               ->add_requisite()
               ->mutable_segments())[kTopologyKey] = "n2";
       }},
  };
  for (const auto& [what, change] : changes) {
    Case<Create>("CreateVolume", StatusCode::ALREADY_EXISTS, what, [apply = change](Create& r) {
      r.set_name("here");
      apply(r);
    });
  }
  Publish publish;
  publish.CopyFrom(*Find("ControllerPublishVolume").request);
  ASSERT_EQ(Find("ControllerPublishVolume").send(publish), StatusCode::OK);
  Case<Publish>("ControllerPublishVolume", StatusCode::ALREADY_EXISTS, "read-only",
                [](auto& r) { r.set_readonly(true); });
  Expect(Find("ControllerPublishVolume"), publish, StatusCode::OK, "the same again");
  Expect(Find("DeleteVolume"), *Find("DeleteVolume").request, StatusCode::FAILED_PRECONDITION,
         "while it is published");
}

TEST_F(BulkTest, PlacesAndTypesThatDoNotFit) {
  using Expand = csi::v1::ControllerExpandVolumeRequest;
  const auto create = [&](const std::string& what, StatusCode code,
                          const std::function<void(Create&)>& change) {
    Case<Create>("CreateVolume", code, what, change);
  };
  create("both types", kInvalid, [](Create& r) {
    r.add_volume_capabilities()->mutable_block();
    r.mutable_volume_capabilities(1)->mutable_access_mode()->set_mode(
        AccessMode::SINGLE_NODE_WRITER);
  });
  create("a place without labels", kInvalid,
         [](Create& r) { r.mutable_accessibility_requirements()->add_requisite(); });
  create("a place that is a selector", kInvalid, [](Create& r) {
    (*r.mutable_accessibility_requirements()->add_requisite()->mutable_segments())["a,!b"] = "c";
  });
  create("a place where nothing is", StatusCode::RESOURCE_EXHAUSTED, [](Create& r) {
    (*r.mutable_accessibility_requirements()->add_requisite()->mutable_segments())["zone"] = "z9";
  });
  Case<Publish>("ControllerPublishVolume", kInvalid, "a filesystem volume as a block device",
                [](Publish& r) { r.mutable_volume_capability()->mutable_block(); });
  Case<Publish>("ControllerPublishVolume", kInvalid, "a block volume as a filesystem",
                [](Publish& r) { r.set_volume_id("block"); });
  Case<Publish>("ControllerPublishVolume", StatusCode::NOT_FOUND, "no node",
                [](Publish& r) { r.set_node_id("n9"); });
  Case<Publish>("ControllerPublishVolume", StatusCode::FAILED_PRECONDITION, "another node",
                [](Publish& r) { r.set_node_id("n2"); });
  Case<Expand>("ControllerExpandVolume", kInvalid, "a filesystem volume as a block device",
               [](Expand& r) {
                 *r.mutable_volume_capability() = Mount();
                 r.mutable_volume_capability()->mutable_block();
               });
  Case<csi::v1::NodePublishVolumeRequest>("NodePublishVolume", StatusCode::FAILED_PRECONDITION,
                                          "not staged",
                                          [](auto& r) { r.clear_staging_target_path(); });
}

// Sends what a class or a pod says, with one key changed.
using KeyValues = std::vector<std::pair<std::string, std::string>>;

KeyValues WrongValues(ParameterPlace place) {
  KeyValues wrong = {{"sped", "9"}, {"Pool", "fast"}, {"../pool", "fast"}, {"", "fast"}};
  for (const ParameterRule& rule : ParameterRules()) {
    if (rule.place != place) continue;
    wrong.emplace_back(rule.name, rule.wrong);
    wrong.emplace_back(rule.name, "../fast");
    wrong.emplace_back(rule.name, "fast/status");
    wrong.emplace_back(rule.name, std::string("a\0b", 3));
    if (rule.absent == nullptr) wrong.emplace_back(rule.name, "");
  }
  return wrong;
}

TEST_F(BulkTest, ParametersOfClassesThatAreWrong) {
  KeyValues create = WrongValues(ParameterPlace::kStorageClass);
  create.emplace_back("pool", "absent");
  create.emplace_back("csi.storage.k8s.io/fstypo", "xfs");
  for (const auto& pair : create) {
    const std::string what = absl::StrCat("parameter ", pair.first, "=", pair.second);
    Case<Create>("CreateVolume", kInvalid, what,
                 [&](Create& r) { (*r.mutable_parameters())[pair.first] = pair.second; });
    // Where no pool is named, or none of that name is, no bytes are free.
    if (pair.first == "pool" && (pair.second.empty() || pair.second == "absent")) continue;
    Case<csi::v1::GetCapacityRequest>("GetCapacity", kInvalid, what, [&](auto& r) {
      (*r.mutable_parameters())[pair.first] = pair.second;
    });
  }
  for (const char* key : {"sped", "csi.storage.k8s.io"}) {
    Case<Take>("CreateSnapshot", kInvalid, key,
               [&](Take& r) { (*r.mutable_parameters())[key] = "9"; });
    Case<TakeGroup>("CreateVolumeGroupSnapshot", kInvalid, key,
                    [&](TakeGroup& r) { (*r.mutable_parameters())[key] = "9"; });
  }
  EXPECT_GT(cases_, 30);
}

TEST_F(BulkTest, MutableParametersThatAreWrong) {
  KeyValues wrong = {{"sped", "9"}, {"ReadIops", "5"}, {"../readIops", "5"}, {"", "5"}};
  for (const MutableParameterRule& rule : MutableParameterRules()) {
    for (const std::string& value : {std::string(rule.wrong), std::string(), std::string("../5"),
                                     std::string("9223372036854775808"), std::string("5\0", 2)}) {
      wrong.emplace_back(rule.name, value);
    }
  }
  for (const auto& pair : wrong) {
    const std::string what = absl::StrCat("mutable parameter ", pair.first, "=", pair.second);
    Case<Create>("CreateVolume", kInvalid, what,
                 [&](Create& r) { (*r.mutable_mutable_parameters())[pair.first] = pair.second; });
    Case<csi::v1::ControllerModifyVolumeRequest>(
        "ControllerModifyVolume", kInvalid, what,
        [&](auto& r) { (*r.mutable_mutable_parameters())[pair.first] = pair.second; });
  }
  EXPECT_GT(cases_, 50);
}

TEST_F(BulkTest, SourcesThatCannotBeCopied) {
  const auto of_snapshot = [](const std::string& id) {
    return [id](Create& r) {
      r.mutable_volume_content_source()->mutable_snapshot()->set_snapshot_id(id);
    };
  };
  const auto of_volume = [](const std::string& id) {
    return
        [id](Create& r) { r.mutable_volume_content_source()->mutable_volume()->set_volume_id(id); };
  };
  const auto both = [](auto source, std::function<void(Create&)> more) {
    return [=](Create& r) {
      source(r);
      more(r);
    };
  };
  const auto as_block = [](Create& r) { r.mutable_volume_capabilities(0)->mutable_block(); };
  const auto small = [](Create& r) {
    r.mutable_capacity_range()->set_required_bytes(50 * kMiB);
    r.mutable_capacity_range()->set_limit_bytes(60 * kMiB);
  };
  const auto as_xfs = [](Create& r) {
    (*r.mutable_parameters())["csi.storage.k8s.io/fstype"] = "xfs";
    r.mutable_capacity_range()->set_required_bytes(400 * kMiB);
  };
  const auto elsewhere = [](Create& r) {
    (*r.mutable_accessibility_requirements()->add_requisite()->mutable_segments())[kTopologyKey] =
        "n2";
  };
  struct Row {
    std::string what;
    StatusCode code;
    std::function<void(Create&)> change;
  };
  for (const Row& row : std::vector<Row>{
           {"no type", kInvalid, [](Create& r) { r.mutable_volume_content_source(); }},
           {"no snapshot", kInvalid, of_snapshot("")},
           {"no volume", kInvalid, of_volume("")},
           {"a volume as a snapshot", StatusCode::NOT_FOUND, of_snapshot("here")},
           {"a snapshot as a volume", StatusCode::NOT_FOUND, of_volume("snap")},
           {"a group as a snapshot", StatusCode::NOT_FOUND, of_snapshot("group")},
           {"a snapshot as a block device", kInvalid, both(of_snapshot("snap"), as_block)},
           {"a volume as a block device", kInvalid, both(of_volume("here"), as_block)},
           {"a block device as a filesystem", kInvalid, of_volume("block")},
           {"a smaller copy of a snapshot", StatusCode::OUT_OF_RANGE,
            both(of_snapshot("snap"), small)},
           {"a smaller clone", StatusCode::OUT_OF_RANGE, both(of_volume("here"), small)},
           {"another filesystem", kInvalid, both(of_volume("here"), as_xfs)},
           {"elsewhere", StatusCode::RESOURCE_EXHAUSTED, both(of_volume("here"), elsewhere)},
           {"a repeat with a source", StatusCode::ALREADY_EXISTS,
            both(of_volume("block"), both(as_block, [](Create& r) { r.set_name("here"); }))},
       }) {
    Case<Create>("CreateVolume", row.code, row.what, row.change);
  }
}

TEST_F(BulkTest, SnapshotsAndGroupsThatConflict) {
  Case<Take>("CreateSnapshot", StatusCode::ALREADY_EXISTS, "of another volume", [](Take& r) {
    r.set_name("snap");
    r.set_source_volume_id("block");
  });
  Case<Take>("CreateSnapshot", StatusCode::OK, "the same again",
             [](Take& r) { r.set_name("snap"); });
  Case<Take>("CreateSnapshot", StatusCode::NOT_FOUND, "of a snapshot",
             [](Take& r) { r.set_source_volume_id("snap"); });
  Case<Take>("CreateSnapshot", StatusCode::RESOURCE_EXHAUSTED, "elsewhere", [](Take& r) {
    (*r.mutable_accessibility_requirements()->add_requisite()->mutable_segments())[kTopologyKey] =
        "n2";
  });
  Case<Take>("CreateSnapshot", kInvalid, "a place without labels",
             [](Take& r) { r.mutable_accessibility_requirements()->add_requisite(); });
  const std::vector<std::vector<std::string>> others = {{"block"}, {"here", "block"}};
  for (const auto& ids : others) {
    Case<TakeGroup>("CreateVolumeGroupSnapshot", StatusCode::ALREADY_EXISTS, "of other volumes",
                    [ids](TakeGroup& r) {
                      r.set_name("group");
                      *r.mutable_source_volume_ids() = {ids.begin(), ids.end()};
                    });
  }
  Case<TakeGroup>("CreateVolumeGroupSnapshot", StatusCode::OK, "the same again, named twice",
                  [](TakeGroup& r) {
                    r.set_name("group");
                    r.add_source_volume_ids("here");
                  });
  Case<TakeGroup>("CreateVolumeGroupSnapshot", StatusCode::NOT_FOUND, "one of two is absent",
                  [](TakeGroup& r) { r.add_source_volume_ids("absent"); });
  Case<csi::v1::DeleteVolumeGroupSnapshotRequest>("DeleteVolumeGroupSnapshot", kInvalid,
                                                  "with a snapshot of its volume that is no member",
                                                  [](auto& r) { r.add_snapshot_ids("snap"); });
  Case<csi::v1::GetMetadataDeltaRequest>(
      "GetMetadataDelta", kInvalid, "of two volumes",
      [](auto& r) { r.set_target_snapshot_id("snap-of-block"); });
  Case<csi::v1::DeleteSnapshotRequest>("DeleteSnapshot", StatusCode::OK, "a volume's name",
                                       [](auto& r) { r.set_snapshot_id("here"); });
}

TEST_F(BulkTest, AttributesOfInlineVolumesThatAreWrong) {
  Show good = dynamic_cast<const Show&>(*Find("NodePublishVolume").request);
  good.clear_staging_target_path();
  auto& said = *good.mutable_volume_context();
  said["csi.storage.k8s.io/ephemeral"] = "true";
  said["csi.storage.k8s.io/pod.uid"] = "5";
  said["pool"] = "fast";
  said["size"] = "1Gi";
  const Rpc& publish = Find("NodePublishVolume");
  ASSERT_EQ(publish.send(good), StatusCode::OK) << "what is broken below";
  const auto bad = [&](const std::string& what, const std::function<void(Show&)>& change) {
    Show request = good;
    change(request);
    Expect(publish, request, kInvalid, what);
  };
  for (const ParameterRule& rule : ParameterRules()) {
    if (rule.place != ParameterPlace::kInlineVolume || rule.absent != nullptr) continue;
    bad(absl::StrCat("without ", rule.name),
        [&](Show& r) { r.mutable_volume_context()->erase(rule.name); });
  }
  KeyValues wrong = WrongValues(ParameterPlace::kInlineVolume);
  for (const char* size : {"0", "-1Gi", "1.5", "0.5", "1e30", "9223372036854775808", "1Gi "})
    wrong.emplace_back("size", size);
  for (const char* pool : {"a b", "..", "/", "fast?", "a%2fb", "-fast", "\xC3\xA4"})
    wrong.emplace_back("pool", pool);
  wrong.emplace_back("pool", std::string(254, 'p'));
  wrong.emplace_back("size", std::string(4096, '1'));
  for (const auto& pair : wrong) {
    bad(absl::StrCat("attribute ", pair.first, "=", pair.second),
        [&](Show& r) { (*r.mutable_volume_context())[pair.first] = pair.second; });
  }
  bad("as a block device", [](Show& r) { r.mutable_volume_capability()->mutable_block(); });
  bad("another filesystem",
      [](Show& r) { r.mutable_volume_capability()->mutable_mount()->set_fs_type("ntfs"); });
  EXPECT_GT(cases_, 25);
  // The agent alone knows the pools of its node.
  agent_.SetAnswer(absl::NotFoundError("there is no pool absent"));
  said["pool"] = "absent";
  EXPECT_EQ(publish.send(good), StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace ashlar::csi_driver
