// Bad input in bulk, through gRPC as a caller sends it, drawn from the descriptors of the requests:
// each field of each request gets missing, too long, unknown, full of path characters or no number
// that it could be. What conflicts with what is there is in csi_bulk_conflicts_test.cc.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "csi/parameters.h"
#include "csi/testing/bulk_test.h"

namespace ashlar::csi_driver {
namespace {

using AccessMode = csi::v1::VolumeCapability::AccessMode;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using grpc::StatusCode;

// Sets the string, or the first of a list of strings.
void SetString(Message& request, const FieldPath& path, const std::string& value) {
  Message& holder = HolderOf(request, path);
  const FieldDescriptor* field = path.back();
  if (!field->is_repeated())
    holder.GetReflection()->SetString(&holder, field, value);
  else if (holder.GetReflection()->FieldSize(holder, field) == 0)
    holder.GetReflection()->AddString(&holder, field, value);
  else
    holder.GetReflection()->SetRepeatedString(&holder, field, 0, value);
}

bool IsString(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
}

bool IsId(const FieldDescriptor& field) {
  return IsString(field) &&
         (absl::EndsWith(field.name(), "_id") || absl::EndsWith(field.name(), "_ids"));
}

bool IsPath(const FieldDescriptor& field) { return absl::EndsWith(field.name(), "_path"); }

// A string of the field, a byte longer than it may be.
std::string TooLong(const FieldDescriptor& field) {
  if (IsPath(field)) return "/" + std::string(4096, 'p');
  if (field.name() == "mount_flags") return std::string(4097, 'm');
  if (field.name() == "node_id" || field.name() == "starting_token") return std::string(257, 'n');
  return std::string(129, '1');
}

TEST_F(BulkTest, EveryRpcThatTakesAnythingIsInTheList) {
  const auto& file = *csi::v1::CreateVolumeRequest::descriptor()->file();
  int taking = 0;
  for (int s = 0; s < file.service_count(); ++s) {
    for (int m = 0; m < file.service(s)->method_count(); ++m) {
      const auto& method = *file.service(s)->method(m);
      if (method.input_type()->field_count() == 0) continue;
      ++taking;
      EXPECT_EQ(Find(method.name()).request->GetDescriptor(), method.input_type());
    }
  }
  EXPECT_EQ(taking, static_cast<int>(rpcs_.size()));
}

TEST_F(BulkTest, WhatIsRequiredAndMissing) {
  for (const Rpc& rpc : rpcs_) {
    for (const std::string& field : rpc.required) {
      const auto request = Copy(rpc);
      request->GetReflection()->ClearField(request.get(),
                                           request->GetDescriptor()->FindFieldByName(field));
      Expect(rpc, *request, StatusCode::INVALID_ARGUMENT, "without " + field);
    }
  }
  EXPECT_GT(cases_, 40);
}

TEST_F(BulkTest, EveryStringAndMapThatIsTooLong) {
  for (const Rpc& rpc : rpcs_) {
    for (const FieldPath& path : FieldsOf(*rpc.request->GetDescriptor())) {
      const FieldDescriptor& field = *path.back();
      const auto request = Copy(rpc);
      if (field.is_map()) {
        Message& holder = HolderOf(*request, path);
        Message& entry = *holder.GetReflection()->AddMessage(&holder, &field);
        entry.GetReflection()->SetString(&entry, entry.GetDescriptor()->FindFieldByNumber(1), "k");
        entry.GetReflection()->SetString(&entry, entry.GetDescriptor()->FindFieldByNumber(2),
                                         std::string(4096, 'v'));
      } else if (IsString(field)) {
        SetString(*request, path, TooLong(field));
      } else {
        continue;
      }
      Expect(rpc, *request, StatusCode::INVALID_ARGUMENT, NameOf(path) + " too long");
    }
  }
  EXPECT_GT(cases_, 110);
}

TEST_F(BulkTest, ListsAndMapsThatAreTooLongAsAWhole) {
  for (const Rpc& rpc : rpcs_) {
    for (const FieldPath& path : FieldsOf(*rpc.request->GetDescriptor())) {
      const FieldDescriptor& field = *path.back();
      const auto request = Copy(rpc);
      Message& holder = HolderOf(*request, path);
      for (int i = 0; i < 60; ++i) {
        if (field.is_map()) {
          Message& entry = *holder.GetReflection()->AddMessage(&holder, &field);
          const auto& of = *entry.GetDescriptor();
          entry.GetReflection()->SetString(&entry, of.FindFieldByNumber(1), absl::StrCat("k", i));
          entry.GetReflection()->SetString(&entry, of.FindFieldByNumber(2), std::string(100, 'v'));
        } else if (field.name() == "mount_flags") {
          holder.GetReflection()->AddString(&holder, &field, std::string(100, 'm'));
        }
      }
      if (!field.is_map() && field.name() != "mount_flags") continue;
      Expect(rpc, *request, StatusCode::INVALID_ARGUMENT, NameOf(path) + " too long in all");
    }
  }
  EXPECT_GE(cases_, 49);
}

TEST_F(BulkTest, IdsThatNothingHas) {
  for (const Rpc& rpc : rpcs_) {
    for (const FieldPath& path : FieldsOf(*rpc.request->GetDescriptor())) {
      if (!IsId(*path.back())) continue;
      const auto known = rpc.ids.find(NameOf(path));
      const IdCodes codes = known == rpc.ids.end() ? IdCodes{} : known->second;
      const auto with = [&](const std::string& value, StatusCode code) {
        const auto request = Copy(rpc);
        SetString(*request, path, value);
        Expect(rpc, *request, code, NameOf(path) + " " + value);
      };
      if (rpc.asks_controller) with("absent", codes.unknown);
      for (const char* value :
           {"../here", "here/../../pools/fast", "..", "/", "here/status", "Here", "here?dryRun=All",
            "a%2fb", "a b", "here\n", "-here", "\xC3\xA4"}) {
        with(value, codes.impossible);
      }
    }
  }
  EXPECT_GT(cases_, 380);
}

TEST_F(BulkTest, PathsThatAreNone) {
  for (const Rpc& rpc : rpcs_) {
    for (const FieldPath& path : FieldsOf(*rpc.request->GetDescriptor())) {
      if (!IsPath(*path.back())) continue;
      for (const std::string& value :
           {std::string("relative"), std::string("/a/../../etc"), std::string("/a/./b"),
            std::string(".."), std::string("/a\0b", 4)}) {
        const auto request = Copy(rpc);
        SetString(*request, path, value);
        const bool is_volume_path = path.back()->name() == "volume_path";
        Expect(rpc, *request, is_volume_path ? rpc.bad_path : StatusCode::INVALID_ARGUMENT,
               NameOf(path) + " " + value);
      }
    }
  }
  EXPECT_GT(cases_, 50);
}

TEST_F(BulkTest, NumbersThatAreNegative) {
  for (const Rpc& rpc : rpcs_) {
    for (const FieldPath& path : FieldsOf(*rpc.request->GetDescriptor())) {
      const FieldDescriptor& field = *path.back();
      const auto request = Copy(rpc);
      Message& holder = HolderOf(*request, path);
      if (field.cpp_type() == FieldDescriptor::CPPTYPE_INT64)
        holder.GetReflection()->SetInt64(&holder, &field, -1);
      else if (field.cpp_type() == FieldDescriptor::CPPTYPE_INT32)
        holder.GetReflection()->SetInt32(&holder, &field, -1);
      else
        continue;
      // The code that the specification names for this field.
      const bool offset = field.name() == "starting_offset";
      Expect(rpc, *request, offset ? StatusCode::OUT_OF_RANGE : StatusCode::INVALID_ARGUMENT,
             NameOf(path) + " -1");
    }
  }
  EXPECT_GE(cases_, 13);
}

TEST_F(BulkTest, TokensOfOthers) {
  for (const Rpc& rpc : rpcs_) {
    for (const FieldPath& path : FieldsOf(*rpc.request->GetDescriptor())) {
      if (path.back()->name() != "starting_token") continue;
      for (const char* value : {"../7", "7", "after", "\xC3\xA4"}) {
        const auto request = Copy(rpc);
        SetString(*request, path, value);
        Expect(rpc, *request, StatusCode::ABORTED, value);
      }
    }
  }
  EXPECT_EQ(cases_, 12);
}

// What no capability may say. Their strings are among the fields above.
TEST_F(BulkTest, CapabilitiesThatNoVolumeCanHave) {
  using Change = std::function<void(csi::v1::VolumeCapability&)>;
  std::vector<std::pair<std::string, Change>> changes = {
      {"no access type", [](auto& c) { c.clear_access_type(); }},
      {"no access mode", [](auto& c) { c.clear_access_mode(); }},
      {"filesystem", [](auto& c) { c.mutable_mount()->set_fs_type("ntfs"); }},
      {"group", [](auto& c) { c.mutable_mount()->set_volume_mount_group("wheel"); }},
  };
  for (const int mode : {0, 3, 4, 5, 99, -1}) {
    changes.emplace_back("mode " + std::to_string(mode), [mode](auto& c) {
      c.mutable_access_mode()->set_mode(static_cast<AccessMode::Mode>(mode));
    });
  }
  for (const Rpc& rpc : rpcs_) {
    const auto& descriptor = *rpc.request->GetDescriptor();
    const FieldDescriptor* one = descriptor.FindFieldByName("volume_capability");
    const FieldDescriptor* many = descriptor.FindFieldByName("volume_capabilities");
    // ValidateVolumeCapabilities answers in words; its own test looks at them.
    if ((one == nullptr && many == nullptr) || rpc.name == "ValidateVolumeCapabilities") continue;
    for (const auto& [what, change] : changes) {
      const auto request = Copy(rpc);
      csi::v1::VolumeCapability capability = Mount();
      change(capability);
      Message& place = one != nullptr
                           ? *request->GetReflection()->MutableMessage(request.get(), one)
                           : *request->GetReflection()->AddMessage(request.get(), many);
      place.CopyFrom(capability);
      Expect(rpc, *request, StatusCode::INVALID_ARGUMENT, what);
    }
  }
  EXPECT_GE(cases_, 60);
}

}  // namespace
}  // namespace ashlar::csi_driver
