#include "csi/request_validation.h"

#include "csi/names.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ashlar::csi_driver {
namespace {

using absl::StatusCode;
using csi::v1::CreateVolumeRequest;
using csi::v1::VolumeCapability;
using testing::ElementsAre;
using testing::HasSubstr;
using AccessMode = VolumeCapability::AccessMode;

constexpr int64_t kMiB = 1 << 20;

VolumeCapability Mount(AccessMode::Mode mode = AccessMode::SINGLE_NODE_WRITER,
                       const std::string& fs_type = "") {
  VolumeCapability capability;
  capability.mutable_mount()->set_fs_type(fs_type);
  capability.mutable_access_mode()->set_mode(mode);
  return capability;
}

VolumeCapability Block() {
  VolumeCapability capability;
  capability.mutable_block();
  capability.mutable_access_mode()->set_mode(AccessMode::SINGLE_NODE_WRITER);
  return capability;
}

CreateVolumeRequest Request() {
  CreateVolumeRequest request;
  request.set_name("pvc-1");
  *request.add_volume_capabilities() = Mount();
  (*request.mutable_parameters())["pool"] = "fast";
  request.mutable_capacity_range()->set_required_bytes(10 * kMiB);
  return request;
}

void AddNode(const std::string& node, csi::v1::Topology* topology) {
  (*topology->mutable_segments())[kTopologyKey] = node;
}

TEST(RequestValidation, AWholeRequestBecomesAPlan) {
  CreateVolumeRequest request = Request();
  (*request.mutable_parameters())["csi.storage.k8s.io/pvc/name"] = "data";
  (*request.mutable_parameters())["csi.storage.k8s.io/pvc/namespace"] = "ml";
  (*request.mutable_parameters())["csi.storage.k8s.io/pv/name"] = "pvc-1";
  request.mutable_capacity_range()->set_required_bytes(100 * kMiB + 1);
  AddNode("n2", request.mutable_accessibility_requirements()->add_requisite());
  AddNode("n1", request.mutable_accessibility_requirements()->add_requisite());
  AddNode("n1", request.mutable_accessibility_requirements()->add_preferred());
  const auto plan = ReadCreateVolume(request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->volume_id, "pvc-1");
  EXPECT_EQ(plan->parameters.pool, "fast");
  EXPECT_EQ(plan->parameters.claim_namespace, "ml");
  EXPECT_EQ(plan->parameters.claim_name, "data");
  EXPECT_EQ(plan->fs_type, "ext4");
  EXPECT_EQ(plan->size.bytes, 101 * kMiB) << "rounded up to a whole MiB";
  EXPECT_THAT(plan->requisite, ElementsAre(TopologyTerm{"n2", ""}, TopologyTerm{"n1", ""}));
  EXPECT_THAT(plan->preferred, ElementsAre(TopologyTerm{"n1", ""}));
}

struct Refusal {
  const char* what;
  std::function<void(CreateVolumeRequest&)> change;
  StatusCode code;
  const char* message;
};

TEST(RequestValidation, RefusesWhatMakesNoSenseAndSaysWhatIsAccepted) {
  const std::vector<Refusal> refusals = {
      {"no name", [](auto& r) { r.clear_name(); }, StatusCode::kInvalidArgument, "name"},
      {"no capabilities", [](auto& r) { r.clear_volume_capabilities(); },
       StatusCode::kInvalidArgument, "volume_capabilities"},
      {"no pool", [](auto& r) { r.clear_parameters(); }, StatusCode::kInvalidArgument, "pool"},
      {"impossible pool", [](auto& r) { (*r.mutable_parameters())["pool"] = "A/b"; },
       StatusCode::kInvalidArgument, "'A/b'"},
      {"unknown parameter", [](auto& r) { (*r.mutable_parameters())["sped"] = "9"; },
       StatusCode::kInvalidArgument, "'sped' are not known; accepted: pool"},
      {"filesystem",
       [](auto& r) { r.mutable_volume_capabilities(0)->mutable_mount()->set_fs_type("ntfs"); },
       StatusCode::kInvalidArgument, "'ntfs' is not known; accepted: ext4, xfs, btrfs"},
      {"two filesystems",
       [](auto& r) {
         (*r.mutable_parameters())["csi.storage.k8s.io/fstype"] = "xfs";
         r.mutable_volume_capabilities(0)->mutable_mount()->set_fs_type("ext4");
       },
       StatusCode::kInvalidArgument, "parameters for xfs"},
      {"ReadWriteMany",
       [](auto& r) { *r.add_volume_capabilities() = Mount(AccessMode::MULTI_NODE_MULTI_WRITER); },
       StatusCode::kInvalidArgument, "MULTI_NODE_MULTI_WRITER is not possible"},
      {"ReadOnlyMany",
       [](auto& r) { *r.add_volume_capabilities() = Mount(AccessMode::MULTI_NODE_READER_ONLY); },
       StatusCode::kInvalidArgument,
       "(ReadOnlyMany) is not possible: a volume lies on one node. Use a claim with ReadWriteOnce"},
      {"unknown mode",
       [](auto& r) { *r.add_volume_capabilities() = Mount(static_cast<AccessMode::Mode>(99)); },
       StatusCode::kInvalidArgument, "access_mode 99"},
      {"no mode", [](auto& r) { r.mutable_volume_capabilities(0)->clear_access_mode(); },
       StatusCode::kInvalidArgument, "access_mode is required"},
      {"no access type", [](auto& r) { r.mutable_volume_capabilities(0)->clear_mount(); },
       StatusCode::kInvalidArgument, "access_type is required"},
      {"block and mount", [](auto& r) { *r.add_volume_capabilities() = Block(); },
       StatusCode::kInvalidArgument, "block and mount"},
      {"content source without a type", [](auto& r) { r.mutable_volume_content_source(); },
       StatusCode::kInvalidArgument, "volume_content_source"},
      {"content source without an id",
       [](auto& r) { r.mutable_volume_content_source()->mutable_snapshot(); },
       StatusCode::kInvalidArgument, "snapshot_id"},
      {"content source that cannot be one",
       [](auto& r) { r.mutable_volume_content_source()->mutable_volume()->set_volume_id("../v"); },
       StatusCode::kNotFound, "volume_content_source"},
      {"mutable parameters", [](auto& r) { (*r.mutable_mutable_parameters())["iops"] = "1"; },
       StatusCode::kInvalidArgument, "mutable_parameters 'iops'"},
      {"negative size", [](auto& r) { r.mutable_capacity_range()->set_required_bytes(-1); },
       StatusCode::kInvalidArgument, "required_bytes -1"},
      {"limit below required", [](auto& r) { r.mutable_capacity_range()->set_limit_bytes(1); },
       StatusCode::kInvalidArgument, "above limit_bytes 1"},
      {"rounding above the limit",
       [](auto& r) {
         r.mutable_capacity_range()->set_required_bytes(100 * kMiB + 1);
         r.mutable_capacity_range()->set_limit_bytes(100 * kMiB + 2);
       },
       StatusCode::kOutOfRange, "multiples of 1 MiB"},
      {"too small for xfs",
       [](auto& r) {
         r.mutable_volume_capabilities(0)->mutable_mount()->set_fs_type("xfs");
         r.mutable_capacity_range()->set_limit_bytes(200 * kMiB);
       },
       StatusCode::kOutOfRange, "for xfs"},
      {"larger than anything",
       [](auto& r) { r.mutable_capacity_range()->set_required_bytes(INT64_MAX); },
       StatusCode::kOutOfRange, "largest"},
      {"topology of nothing",
       [](auto& r) { r.mutable_accessibility_requirements()->add_requisite(); },
       StatusCode::kInvalidArgument, kTopologyKey},
      {"topology that is no label",
       [](auto& r) {
         (*r.mutable_accessibility_requirements()->add_preferred()->mutable_segments())["zone"] =
             "a,b in (c)";
       },
       StatusCode::kInvalidArgument, "'zone'='a,b in (c)', which can't be a label"},
      {"group with a name",
       [](auto& r) {
         r.mutable_volume_capabilities(0)->mutable_mount()->set_volume_mount_group("users");
       },
       StatusCode::kInvalidArgument, "'users' is not the number of a group"},
      {"group that means none",
       [](auto& r) {
         r.mutable_volume_capabilities(0)->mutable_mount()->set_volume_mount_group("4294967295");
       },
       StatusCode::kInvalidArgument, "0 to 4294967294"},
  };
  for (const Refusal& refusal : refusals) {
    CreateVolumeRequest request = Request();
    refusal.change(request);
    const absl::Status status = ReadCreateVolume(request).status();
    EXPECT_EQ(status.code(), refusal.code) << refusal.what << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(refusal.message)) << refusal.what;
  }
}

TEST(RequestValidation, SizesAreWhatCanBeMade) {
  struct Case {
    int64_t required, limit;
    const char* fs_type;
    int64_t bytes;
  };
  for (const Case& c : std::vector<Case>{{0, 0, "ext4", 1024 * kMiB},
                                         {1, 0, "", kMiB},
                                         {1, 0, "ext4", 16 * kMiB},
                                         {1, 0, "xfs", 300 * kMiB},
                                         {kMiB + 1, 2 * kMiB, "", 2 * kMiB},
                                         {0, 5 * kMiB + 7, "", 5 * kMiB},
                                         {0, 5000 * kMiB, "", 1024 * kMiB}}) {
    csi::v1::CapacityRange range;
    range.set_required_bytes(c.required);
    range.set_limit_bytes(c.limit);
    const auto size = ReadSize(range, c.fs_type);
    ASSERT_TRUE(size.ok()) << size.status();
    EXPECT_EQ(size->bytes, c.bytes) << c.required << ".." << c.limit << " " << c.fs_type;
    EXPECT_TRUE(size->Holds(size->bytes));
  }
}

TEST(RequestValidation, FieldsBeyondTheLimitsOfTheSpecificationAreRefused) {
  CreateVolumeRequest request = Request();
  request.set_name(std::string(128, 'a'));
  EXPECT_TRUE(CheckFieldSizes(request).ok());
  request.set_name(std::string(129, 'a'));
  EXPECT_THAT(std::string(CheckFieldSizes(request).message()), HasSubstr("name has 129 bytes"));

  request = Request();
  (*request.mutable_secrets())["key"] = std::string(4097, 'x');
  EXPECT_THAT(std::string(CheckFieldSizes(request).message()), HasSubstr("secrets has"));

  request = Request();
  request.mutable_volume_capabilities(0)->mutable_mount()->set_fs_type(std::string(129, 'x'));
  EXPECT_FALSE(CheckFieldSizes(request).ok()) << "nested fields count";

  csi::v1::NodeStageVolumeRequest stage;
  stage.set_staging_target_path("/" + std::string(4000, 'x'));
  EXPECT_TRUE(CheckFieldSizes(stage).ok()) << "paths may be longer than 128 bytes";
}

TEST(RequestValidation, PathsAreAbsoluteAndDoNotClimb) {
  EXPECT_TRUE(CheckPath("target_path", "/var/lib/kubelet/a..b").ok());
  for (const std::string& path : {std::string(), std::string("a/b"), std::string("/a/../b"),
                                  std::string("/a/./b"), std::string("/a\0b", 4)}) {
    EXPECT_EQ(CheckPath("target_path", path).code(), StatusCode::kInvalidArgument) << path;
  }
}

TEST(RequestValidation, VolumeIdIsTheNameIfKubernetesTakesIt) {
  EXPECT_EQ(VolumeIdFor("pvc-7c1e"), "pvc-7c1e");
  EXPECT_EQ(VolumeIdFor(std::string(120, 'a')), std::string(120, 'a'));
  EXPECT_EQ(VolumeIdFor(std::string(121, 'a')).size(), 34);
  for (const char* name : {"Upper", "a_b", "-a", "a-", "a..b", "a/b", "\xC3\xA4", "a b"}) {
    const std::string id = VolumeIdFor(name);
    EXPECT_EQ(id.size(), 34) << name;
    EXPECT_EQ(VolumeIdFor(id), id) << "an id is an object's name";
    EXPECT_EQ(VolumeIdFor(name), id) << "the same name gives the same volume";
  }
  EXPECT_NE(VolumeIdFor("Upper"), VolumeIdFor("UPPER"));
}

TEST(RequestValidation, AccessSaysHowTheVolumeIsUsed) {
  const auto single = ReadAccess(Mount(AccessMode::SINGLE_NODE_SINGLE_WRITER));
  ASSERT_TRUE(single.ok());
  EXPECT_TRUE(single->single_writer);
  EXPECT_FALSE(ReadAccess(Mount(AccessMode::SINGLE_NODE_MULTI_WRITER))->single_writer);
  EXPECT_TRUE(ReadAccess(Mount(AccessMode::SINGLE_NODE_READER_ONLY))->read_only);
  EXPECT_TRUE(ReadAccess(Block())->block);
}

}  // namespace
}  // namespace ashlar::csi_driver
