#include "lib/api/quantity.h"

#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace ashlar::api {
namespace {

struct Case {
  const char* text;
  const char* canonical;
  int64_t value;
};

TEST(Quantity, CanonicalFormAndValueAreThoseOfKubernetes) {
  const Case cases[] = {
      {"0", "0", 0},
      {"0n", "0", 0},
      {"-0", "0", 0},
      {"00.00", "0", 0},
      {"1", "1", 1},
      {"+1", "1", 1},
      {"1k", "1k", 1000},
      {"1000", "1k", 1000},
      {"1500", "1500", 1500},
      {"1.5k", "1500", 1500},
      {"12000000", "12M", 12000000},
      {"1Ki", "1Ki", 1024},
      {"1024Ki", "1Mi", 1048576},
      {"0.5Gi", "512Mi", 536870912},
      {"1023Ki", "1023Ki", 1047552},
      {".5Ki", "512", 512},
      {"0.1Ki", "102400m", 103},
      {"1.Gi", "1Gi", 1073741824},
      {"1500m", "1500m", 2},
      {"1000m", "1", 1},
      {"100u", "100u", 1},
      {"1n", "1n", 1},
      {"0.1n", "1n", 1},
      {"1.0000000001", "1000000001n", 2},
      {"-1500m", "-1500m", -2},
      {"-1Gi", "-1Gi", -1073741824},
      {"1e3", "1e3", 1000},
      {"1E3", "1e3", 1000},
      {"1.2345e4", "12345", 12345},
      {"1e-3", "1e-3", 1},
      {"100e-1", "10", 10},
      {"1E", "1E", 1000000000000000000},
      {"1Ei", "1Ei", 1152921504606846976},
      {"7.5Ei", "7680Pi", 8646911284551352320},
      {"9223372036854775807", "9223372036854775807", std::numeric_limits<int64_t>::max()},
      {"0000000000000000000000000000000000000000000001", "1", 1},
      {"0.00000000000000001Ei", "11529215047n", 12},
  };
  for (const Case& c : cases) {
    const auto quantity = Quantity::Parse(c.text);
    ASSERT_TRUE(quantity.ok()) << quantity.status();
    EXPECT_EQ(quantity->ToString(), c.canonical) << c.text;
    EXPECT_EQ(quantity->Value(), c.value) << c.text;
  }
}

TEST(Quantity, RefusesWhatKubernetesRefusesAndWhatDoesNotFit) {
  for (const char* text : {"",
                           " ",
                           "1 ",
                           " 1",
                           "+",
                           "-",
                           ".",
                           "Gi",
                           "1i",
                           "1ki",
                           "1KI",
                           "1kb",
                           "1GB",
                           "1.1.1",
                           "1e",
                           "1e+",
                           "1e1.5",
                           "--1",
                           "1-",
                           "0x10",
                           "1,5",
                           "nan",
                           "inf",
                           "1mi",
                           "1 Gi",
                           "10Q",
                           "1K",
                           "8Ei",
                           "10E",
                           "1e19",
                           "9223372036854775808",
                           "1e999999",
                           "1e9999999999999999999",
                           "99999999999999999999999999Ei",
                           "0.0000000000000000001Ei"}) {
    const auto quantity = Quantity::Parse(text);
    EXPECT_EQ(quantity.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(quantity.status().message().find("accepted is"), absl::string_view::npos);
  }
}

TEST(Quantity, ComparesByValueAndNotByWords) {
  EXPECT_EQ(*Quantity::Parse("1Gi"), *Quantity::Parse("1024Mi"));
  EXPECT_LT(*Quantity::Parse("1G"), *Quantity::Parse("1Gi"));
  EXPECT_LT(*Quantity::Parse("-1"), *Quantity::Parse("1n"));
}

TEST(Quantity, SumsKeepTheFormOfTheLeftAndAreBounded) {
  EXPECT_EQ(Quantity::Parse("1Gi")->Plus(*Quantity::Parse("1G"))->ToString(), "2073741824");
  EXPECT_EQ(Quantity::Parse("1Gi")->Minus(*Quantity::Parse("512Mi"))->ToString(), "512Mi");
  EXPECT_EQ(Quantity::Parse("7Ei")->Plus(*Quantity::Parse("7Ei")).status().code(),
            absl::StatusCode::kOutOfRange);
}

TEST(Quantity, BytesAreWrittenWithBinarySuffixes) {
  EXPECT_EQ(FormatBytes(0), "0");
  EXPECT_EQ(FormatBytes(10LL << 30), "10Gi");
  EXPECT_EQ(FormatBytes((10LL << 30) + 1), "10737418241");
  EXPECT_EQ(FormatBytes(1000), "1k");
  EXPECT_EQ(*ParseBytes("10Gi"), 10LL << 30);
  EXPECT_FALSE(ParseBytes("-1").ok());
}

TEST(Quantity, CanonicalFormOfAnyValueReadsBackAsTheSame) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 5000; ++i) {
    const int64_t value = static_cast<int64_t>(random()) >> (random() % 63);
    for (auto format : {Quantity::Format::kDecimalSi, Quantity::Format::kBinarySi,
                        Quantity::Format::kDecimalExponent}) {
      const Quantity quantity = Quantity::FromInt(value, format);
      const auto again = Quantity::Parse(quantity.ToString());
      ASSERT_TRUE(again.ok()) << again.status();
      EXPECT_EQ(*again, quantity);
      // A binary quantity without suffix is read as a decimal one, in Kubernetes too.
      if (format != Quantity::Format::kBinarySi) {
        EXPECT_EQ(again->ToString(), quantity.ToString());
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::api
