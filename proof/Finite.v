(* SPDX-License-Identifier: Apache-2.0 *)
(** Sums and counts over the numbers below a bound. *)
From Coq Require Import Reals.
Open Scope R_scope.

(** Σ_{i<n} f i, and Σ_{i<m} Σ_{e<n} f i e. *)
Fixpoint sum (n : nat) (f : nat -> R) : R := match n with O => 0 | S m => sum m f + f m end.
Definition sum2 (m n : nat) (f : nat -> nat -> R) : R := sum m (fun i => sum n (f i)).

(** How many i < n have f i. *)
Fixpoint count (n : nat) (f : nat -> bool) : nat :=
  match n with O => O | S m => (count m f + if f m then 1 else 0)%nat end.
