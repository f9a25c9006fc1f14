(* SPDX-License-Identifier: Apache-2.0 *)
(** The thermal model and its observer. *)
From Coq Require Import Reals Lra Lia.
From Thermoe Require Import ProblemStatement ControlStatement.
Open Scope R_scope.

Theorem temperature_convex : Temperature_convex.
Proof.
  intros D rho ambient r start power j Hrho Hr. induction j as [| j IH]; intros H a x y Ha Hx Hy; simpl; [lra |].
  pose proof (IH ltac:(intros; apply H; lia) a x y Ha Hx Hy) as T.
  pose proof (H j ltac:(lia) a x y Ha Hx Hy) as P.
  apply (Rmult_le_compat_l rho) in T; [| lra].
  apply (Rmult_le_compat_l r) in P; [| lra].
  apply (Rmult_le_compat_l (1 - rho)) in P; [| lra]. lra.
Qed.

(** How one step moves both errors. *)
Lemma error_moves rho q known offset t state : 0 < rho < 1 ->
  let next := observe rho q known (rho * t + (1 - rho) * (known + offset)) state in
  let a := t - fst state in let d := offset - snd state in
  rho * t + (1 - rho) * (known + offset) - fst next = q^2 / rho * (rho * a + (1 - rho) * d) /\
  offset - snd next = d - (1 - q)^2 / (1 - rho) * (rho * a + (1 - rho) * d).
Proof. intros Hrho. destruct state as [estimate o]. simpl. split; field; lra. Qed.

Theorem observer_has_its_poles_at_q : Observer_has_its_poles_at_q.
Proof.
  intros rho q offset known start first Hrho Hq truth belief.
  set (a := start - fst first). set (d := offset - snd first).
  (* The step minus q, applied to the errors at the start: what j adds. *)
  set (a1 := (q^2 / rho * (rho * a + (1 - rho) * d) - q * a) / q).
  set (o1 := (d - (1 - q)^2 / (1 - rho) * (rho * a + (1 - rho) * d) - q * d) / q).
  exists a, a1, d, o1. induction j as [| j [A O]].
  - simpl. unfold truth, belief, a, d. simpl. split; ring.
  - destruct (error_moves rho q (known j) offset (truth j) (belief j) Hrho) as [A' O'].
    rewrite A, O in A', O'. rewrite S_INR.
    change (truth (S j)) with (rho * truth j + (1 - rho) * (known j + offset)).
    change (belief (S j)) with (observe rho q (known j) (rho * truth j + (1 - rho) * (known j + offset)) (belief j)).
    rewrite A', O'. simpl pow. unfold a1, o1. split; field; lra.
Qed.
