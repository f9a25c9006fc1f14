// SPDX-License-Identifier: Apache-2.0
#include "moe/loss_curve.h"

#include <filesystem>

#include "core/atomic_file.h"
#include "core/csv_reader.h"
#include "core/errors.h"

namespace thermoe {
namespace {

constexpr const char* kHeader =
    "step,seconds,tokens_per_second,train_bits_per_byte,load_balance,energy_loss,learning_rate,"
    "heldout_bits_per_byte\n";

std::string rows_up_to(const std::string& path, std::int64_t step) {
  std::string kept = kHeader;
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error || size == 0) return kept;
  CsvReader csv(path);
  const std::size_t at = csv.need("step");
  while (csv.next_row()) {
    if (!csv.row_problem().empty() || csv.number(at).value_or(0.0) > static_cast<double>(step))
      continue;
    for (std::size_t c = 0; c < csv.columns().size(); ++c) {
      kept += fmt::format("{}{}", c > 0 ? "," : "", csv.cell(c));
    }
    kept += "\n";
  }
  return kept;
}

}  // namespace

LossCurve::LossCurve(const std::string& path, std::int64_t first_step) : path_(path) {
  write_file_atomically(path, first_step == 0 ? kHeader : rows_up_to(path, first_step));
  out_.open(path, std::ios::app);
}

void LossCurve::add(const TrainProgress& row) {
  out_ << fmt::format(
      "{},{:.2f},{:.0f},{:.5f},{:.4f},{:.5f},{:.3e},{}\n", row.step, row.seconds,
      row.tokens_per_second, row.bits_per_byte, row.load_balance, row.energy, row.learning_rate,
      row.heldout_bits_per_byte ? fmt::format("{:.5f}", *row.heldout_bits_per_byte) : "");
  if (!out_.flush()) throw WriteError(fmt::format("{}: cannot be written", path_));
}

}  // namespace thermoe
